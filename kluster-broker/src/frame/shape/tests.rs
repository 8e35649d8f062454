//! The table of shapes against the decoders that it was read off: whatever a shape describes is what a decoder takes, to the last byte.

use bytes::Bytes;
use kafka_protocol::messages::RequestKind;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::api::{SERVED, Served};

/// The lowest version that can be decoded: Produce is told from 0 on for the sake of old clients.
fn lowest(served: &Served) -> i16 {
    served.min.max(served.key.valid_versions().min)
}

/// Writes some message of a shape.
struct Sample<'a> {
    random: &'a mut StdRng,
    version: i16,
    flexible: bool,
    bytes: Vec<u8>,
}

impl Sample<'_> {
    fn structure(&mut self, fields: &[Field]) {
        for field in fields {
            if (field.since..=field.until).contains(&self.version) {
                self.field(field.kind);
            }
        }
        if self.flexible {
            let unknown = self.random.random_range(0..2);
            self.bytes.push(unknown);
            for _ in 0..unknown {
                // A tag that no message has, two bytes long.
                self.bytes.extend([0xe7, 0x07, 2, 1, 2]);
            }
        }
    }

    fn field(&mut self, kind: Kind) {
        match kind {
            Kind::Fixed(bytes) => self.bytes.extend(std::iter::repeat_n(1, bytes)),
            Kind::Text => self.text(),
            Kind::Bytes => {
                let length = self.random.random_range(0..300);
                self.length(length);
                self.bytes.extend(std::iter::repeat_n(b'x', length));
            }
            Kind::List(bytes) => self.array(|sample| sample.bytes.extend(std::iter::repeat_n(1, bytes))),
            Kind::Texts => self.array(Self::text),
            Kind::Rows(fields) => self.array(|sample| sample.structure(fields)),
            Kind::Maybe(fields) => {
                self.bytes.push(1);
                self.structure(fields);
            }
        }
    }

    fn text(&mut self) {
        let length: u8 = self.random.random_range(0..9);
        if self.flexible {
            self.bytes.push(length + 1);
        } else {
            self.bytes.extend(i16::from(length).to_be_bytes());
        }
        self.bytes.extend(std::iter::repeat_n(b't', length.into()));
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap();
        if !self.flexible {
            self.bytes.extend(length.to_be_bytes());
            return;
        }
        let mut left = length + 1;
        while left >= 0x80 {
            self.bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        self.bytes.push(u8::try_from(left).unwrap());
    }

    fn array(&mut self, element: impl Fn(&mut Self)) {
        let length = self.random.random_range(0..4);
        self.length(length);
        (0..length).for_each(|_| element(self));
    }
}

fn sample(served: &Served, version: i16, random: &mut StdRng) -> Vec<u8> {
    let shape = served.shape();
    let mut sample = Sample { random, version, flexible: version >= shape.flexible_since, bytes: Vec::new() };
    sample.structure(shape.fields);
    sample.bytes
}

fn bytes(shape: &Shape, body: &[u8], version: i16) -> Result<usize, Malformed> {
    shape.walk(body, version).map(|walked| walked.bytes)
}

#[test]
fn every_shape_is_what_the_decoder_takes_in_every_version() {
    let mut random = StdRng::seed_from_u64(1);
    for served in SERVED {
        for version in lowest(served)..=served.max {
            for _ in 0..50 {
                let body = sample(served, version, &mut random);
                let name = format!("{:?} version {version}, {body:?}", served.key);
                assert_eq!(bytes(served.shape(), &body, version), Ok(body.len()), "walking {name}");
                let mut rest = Bytes::from(body.clone());
                let decoded = RequestKind::decode(served.key, &mut rest, version);
                assert!(decoded.is_ok(), "decoding {name}: {decoded:?}");
                assert!(rest.is_empty(), "{} bytes are left of {name}", rest.len());
            }
        }
    }
}

#[test]
fn a_message_that_ends_early_is_refused_without_decoding() {
    let mut random = StdRng::seed_from_u64(2);
    for served in SERVED {
        let body = sample(served, served.max, &mut random);
        for end in 0..body.len() {
            assert!(
                served.shape().walk(&body[..end], served.max).is_err(),
                "{:?} cut at {end} of {body:?}",
                served.key
            );
        }
    }
}

#[test]
fn a_claimed_length_is_never_believed() {
    const FOURS: &[Field] = &[list(4)];
    let numbers = shape(NEVER, FOURS);
    assert_eq!(bytes(&numbers, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1], 0), Err(Malformed::CutOff));
    assert_eq!(bytes(&numbers, &[0x80, 0, 0, 0], 0), Err(Malformed::Negative));
    assert_eq!(bytes(&numbers, &[0xff, 0xff, 0xff, 0xff], 0), Ok(4), "−1 is null");
    let flexible = shape(0, FOURS);
    assert_eq!(bytes(&flexible, &[0xff, 0xff, 0xff, 0xff, 0x0f], 0), Err(Malformed::CutOff));
    assert_eq!(bytes(&flexible, &[0xff, 0xff, 0xff, 0xff, 0xff], 0), Err(Malformed::LongNumber));
}

#[test]
fn elements_are_bounded_over_all_arrays_and_tags() {
    const TWO_LISTS: &[Field] = &[list(1), list(1)];
    let flags = shape(NEVER, TWO_LISTS);
    let array = |length: usize| {
        let mut bytes = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        bytes.resize(4 + length, 0);
        bytes
    };
    let within = [array(MAX_ELEMENTS - 1), array(1)].concat();
    assert_eq!(bytes(&flags, &within, 0), Ok(within.len()));
    let beyond = [array(MAX_ELEMENTS - 1), array(2)].concat();
    assert_eq!(bytes(&flags, &beyond, 0), Err(Malformed::TooManyElements));
    let tags = shape(0, &[]);
    // 40,000 tagged fields of no bytes.
    let mut beyond = vec![0xc0, 0xb8, 0x02];
    beyond.resize(3 + 80_000, 0);
    assert_eq!(bytes(&tags, &beyond, 0), Err(Malformed::TooManyElements));
}
