//! Snapshot columns: a row as terms in SQL, and the hash of these terms.
//!
//! Neighbours: `snapshot` puts them into its queries.
//!
//! Invariants
//! 1. Two rows have the same terms only if every column has the same value. Numbers go into points of geometry, which hold two doubles as they are
//!    (the text of a double costs more than the rest of a row); a bigint goes in halves, for a double has 53 bits. So do the lengths of what can
//!    hold any byte. Texts that are no constant length stand last, with `#` between them.
//! 2. The hash depends on no order of evaluation: no user variables.
//! 3. The hash is no linear function of the terms, as a cyclic redundancy code alone is: by sums of such, two rows that have exchanged a value would be
//!    taken for the rows from before once in 10⁸ times.

use super::names::identifier;
use crate::dbms::snapshot::{Table, TableColumn};

/// So many terms have one pair of codes: each lies within the one before it, and the server's stack is finite.
const GROUP: usize = 24;

/// How a table's rows are hashed; sums of unlike forms cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Form {
    /// Two cyclic redundancy codes with unlike polynomials, each multiplied (MariaDB 10.8 and newer).
    Codes = 1,
    /// Half of MD5.
    HalfOfMd5 = 2,
}

/// A row, part by part.
#[derive(Default)]
struct Terms {
    /// Numbers that are doubles without loss, or NULL.
    numbers: Vec<String>,
    /// Bytes, never NULL, whose end is known.
    texts: Vec<String>,
    /// Bytes, never NULL, without `#`.
    open: Vec<String>,
}

impl Terms {
    fn of(table: &Table) -> Self {
        let mut terms = Self::default();
        table.columns.iter().for_each(|column| terms.add(column));
        terms
    }

    fn add(&mut self, column: &TableColumn) {
        let name = identifier(&column.name);
        match column.type_name.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "year" | "double" | "float" => self.numbers.push(name),
            "bigint" | "bit" => self.numbers.extend([format!("{name}>>32"), format!("{name}&4294967295")]),
            // Of one length, and none begins with the sign for NULL.
            "date" | "datetime" | "timestamp" => self.texts.push(format!("ifnull({name},'-')")),
            "decimal" | "time" => self.open.push(format!("ifnull({name},'-')")),
            of => {
                self.numbers.push(format!("length({name})"));
                // Types of their own take no text beside them.
                let is_text = ["char", "text", "blob", "binary"].iter().any(|end| of.ends_with(end));
                self.texts.push(match is_text || ["enum", "set"].contains(&of) {
                    true => format!("ifnull({name},'')"),
                    false => format!("ifnull(cast({name} as binary),'')"),
                });
            }
        }
    }

    /// All of them; each is bytes and not NULL.
    fn all(self) -> Vec<String> {
        let mut all: Vec<String> = self.numbers.chunks(2).map(point).collect();
        all.extend(self.texts);
        for (place, open) in self.open.into_iter().enumerate() {
            all.extend((place > 0).then(|| "'#'".to_owned()));
            all.push(open);
        }
        all
    }
}

/// One number or two. A point begins with zeros; where one of the numbers is NULL there is none, but a text that begins otherwise.
fn point(numbers: &[String]) -> String {
    let (x, y) = (&numbers[0], numbers.get(1).map_or("0", String::as_str));
    format!("ifnull(point({x},{y}),concat('-',ifnull(hex(point({x},0)),'-'),ifnull(hex(point({y},0)),'-')))")
}

/// The hash of a row, of 64 bits.
pub fn hash(table: &Table, form: Form) -> String {
    let terms = Terms::of(table).all();
    match form {
        Form::Codes => codes(&terms),
        Form::HalfOfMd5 => {
            format!("cast(conv(left(md5(concat(cast('' as binary),{})), 16), 16, 10) as unsigned)", terms.join(","))
        }
    }
}

/// Each group of terms has numbers of its own, so that a value counts where it stands.
fn codes(terms: &[String]) -> String {
    let code = |of: &str, terms: &[String], number: u64| {
        let (first, others) = terms.split_first().expect("a chunk is not empty");
        let code = others.iter().fold(format!("{of}({first})"), |code, term| format!("{of}({code},{term})"));
        format!("({code}*{})", multiplier(number))
    };
    let groups = terms
        .chunks(GROUP)
        .zip(0..)
        .flat_map(|(terms, number)| [code("crc32", terms, 2 * number), code("crc32c", terms, 2 * number + 1)]);
    format!("({})", groups.collect::<Vec<_>>().join("^"))
}

/// Odd, with 32 bits, by SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>). Times a code it fits into 64 bits.
fn multiplier(number: u64) -> u64 {
    let mut mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 32) | 0x8000_0001
}

/// Finds a row that the server cannot make one text of, if the table can have one and the form needs it.
pub fn too_long(table: &Table, form: Form) -> Option<String> {
    let long = |column: &&TableColumn| {
        ["mediumtext", "mediumblob", "longtext", "longblob", "json", "geometry"].contains(&column.type_name.as_str())
    };
    let lengths: Vec<String> = table
        .columns
        .iter()
        .filter(long)
        .map(|column| format!("ifnull(length({}),0)", identifier(&column.name)))
        .collect();
    // What else a row holds has at most 65,535 bytes, and some digits for each length.
    (form == Form::HalfOfMd5 && !lengths.is_empty()).then(|| {
        format!("select 1 from {} where {} > @@max_allowed_packet - 262144 limit 1", table.source, lengths.join("+"))
    })
}

/// The column by whose value a table can be divided at any number: the first of its primary key, an integer.
pub fn divides(table: &Table) -> Option<String> {
    let column = table.columns.get(*table.key.first()?)?;
    let is_integer = ["tinyint", "smallint", "mediumint", "int", "bigint"].contains(&column.type_name.as_str());
    is_integer.then(|| identifier(&column.name))
}

/// Conditions that each row meets exactly one of, where `column` is never NULL and has values from `first` to `last`: so many, or one if these are few.
pub fn divided(column: &str, first: i128, last: i128, parts: i128) -> Vec<String> {
    /// Below this a query costs more than the rows.
    const FEW: i128 = 1000;
    if last - first < FEW {
        return vec!["true".to_owned()];
    }
    let border = |part: i128| first + (last - first) * part / parts;
    let part = |part: i128| match part {
        0 => format!("{column} < {}", border(1)),
        part if part == parts - 1 => format!("{column} >= {}", border(part)),
        part => format!("{column} >= {} and {column} < {}", border(part), border(part + 1)),
    };
    (0..parts).map(part).collect()
}

/// A value for people.
pub fn shown(column: &TableColumn) -> String {
    let name = identifier(&column.name);
    match column.type_name.as_str() {
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point"
        | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geometrycollection" => {
            format!("hex(left({name}, 200))")
        }
        "float" => format!("cast(cast({name} as double) as char)"),
        "bit" => format!("cast({name}+0 as char)"),
        _ => format!("left(cast({name} as char character set utf8mb4), 400)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, &str)]) -> Table {
        let columns = columns.iter().map(|(name, of)| TableColumn { name: (*name).into(), type_name: (*of).into() });
        Table { name: "t".into(), source: "`t`".into(), columns: columns.collect(), key: vec![0], skipped: None }
    }

    #[test]
    fn numbers_and_lengths_stand_in_points_before_the_texts() {
        let terms =
            Terms::of(&table(&[("a", "int"), ("b", "varchar"), ("c", "time"), ("d", "decimal"), ("e", "float")]));
        let null = "ifnull(hex(point(length(`b`),0)),'-')";
        let wanted = [
            &format!("ifnull(point(`a`,length(`b`)),concat('-',ifnull(hex(point(`a`,0)),'-'),{null}))"),
            "ifnull(point(`e`,0),concat('-',ifnull(hex(point(`e`,0)),'-'),ifnull(hex(point(0,0)),'-')))",
            "ifnull(`b`,'')",
            "ifnull(`c`,'-')",
            "'#'",
            "ifnull(`d`,'-')",
        ];
        assert_eq!(terms.all(), wanted);
        let hash = hash(&table(&[("a", "date"), ("b", "uuid")]), Form::Codes);
        let point = point(&["length(`b`)".to_owned()]);
        let [crc32, crc32c] = ["crc32", "crc32c"]
            .map(|code| format!("{code}({code}({code}({point}),ifnull(`a`,'-')),ifnull(cast(`b` as binary),''))"));
        assert_eq!(hash, format!("(({crc32}*{})^({crc32c}*{}))", multiplier(0), multiplier(1)));
    }

    #[test]
    fn multipliers_are_unlike_and_leave_no_overflow() {
        let numbers: std::collections::BTreeSet<u64> = (0..2000).map(multiplier).collect();
        assert_eq!(numbers.len(), 2000);
        assert!(numbers.iter().all(|number| number % 2 == 1 && u32::try_from(*number).is_ok()));
    }

    /// The codes of 16 bits in the place of those of 32: rows that have exchanged a value are as unlike as any.
    #[test]
    fn exchanged_values_change_a_sum() {
        let code = |polynomial: u16, bytes: &[u8]| {
            bytes.iter().fold(0xffff_u16, |code, byte| {
                (0..8).fold(code ^ (u16::from(*byte) << 8), |code, _| match code & 0x8000 {
                    0 => code << 1,
                    _ => (code << 1) ^ polynomial,
                })
            })
        };
        let codes = |row: [u32; 2]| {
            let row = row.map(u32::to_le_bytes).concat();
            [u64::from(code(0x1021, &row)), u64::from(code(0x8005, &row))]
        };
        let beside = |[one, other]: [u64; 2]| (one << 16) | other;
        let multiplied = |[one, other]: [u64; 2]| {
            let number = |number| (multiplier(number) & 0xffff) | 1;
            (one * number(0)) ^ (other * number(1))
        };
        let unseen = |hash: &dyn Fn([u64; 2]) -> u64| {
            let mut mixed = 0_u64;
            let mut next = || {
                mixed += 1;
                multiplier(mixed) as u32
            };
            let exchanged = (0..100_000).filter(|_| {
                let [a, b, c, d] = std::array::from_fn(|_| next());
                let hash = |row| hash(codes(row));
                hash([a, b]) + hash([c, d]) == hash([a, d]) + hash([c, b])
            });
            exchanged.count()
        };
        assert_eq!(unseen(&multiplied), 0);
        assert!(unseen(&beside) > 0, "else this shows nothing");
    }

    #[test]
    fn rows_are_in_one_part_each() {
        assert_eq!(divided("`k`", 0, 999, 4), ["true"]);
        assert_eq!(divided("`k`", -1000, 3000, 3), ["`k` < 333", "`k` >= 333 and `k` < 1666", "`k` >= 1666"]);
        assert_eq!(divides(&table(&[("a", "bigint")])), Some("`a`".to_owned()));
        assert_eq!(divides(&table(&[("a", "varchar")])), None);
    }

    #[test]
    fn only_rows_that_become_one_text_can_be_too_long() {
        assert_eq!(too_long(&table(&[("a", "longtext")]), Form::Codes), None);
        assert_eq!(too_long(&table(&[("a", "int"), ("b", "varchar")]), Form::HalfOfMd5), None);
        assert!(too_long(&table(&[("a", "longtext")]), Form::HalfOfMd5).is_some());
    }
}
