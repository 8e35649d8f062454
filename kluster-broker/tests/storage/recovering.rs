//! What a start makes of a torn end, of damage, and of a missing or wrong index.

use super::batches::{Store, all, batch, copied, files, partition_dir, store, try_reopened};
use kluster_broker::topics::OpenError;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// Three batches `a`, `b`, `c` of one record each, and the size of each.
async fn three(configs: &[(&str, &str)]) -> (Store, usize) {
    let it = Store::new(configs);
    for value in ["a", "b", "c"] {
        store(&it.partition, batch(&[value])).await.unwrap();
    }
    (it, batch(&["a"]).len())
}

fn abc(count: usize) -> Vec<(i64, String)> {
    ["a", "b", "c"].iter().take(count).enumerate().map(|(offset, value)| (offset as i64, (*value).to_owned())).collect()
}

/// The one log file with other bytes.
fn change_log(dir: &TempDir, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let log = files(dir, "log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    change(&mut bytes);
    fs::write(&log, bytes).unwrap();
    log
}

/// What is there after a start, and that writing goes on.
async fn starts_with(dir: TempDir, count: usize) -> TempDir {
    let it = Store::open(dir);
    assert_eq!(all(&it.partition), abc(count));
    let appended = store(&it.partition, batch(&["after"])).await.unwrap();
    assert_eq!(appended.base_offset, count as i64);
    let it = it.restarted();
    assert_eq!(all(&it.partition)[count], (count as i64, "after".into()));
    it.crash()
}

/// The error of a start.
fn refused(dir: &Path) -> OpenError {
    match try_reopened(dir) {
        Ok(_) => panic!("it starts"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_off_at_the_last_whole_batch() {
    let (it, size) = three(&[]).await;
    let dir = it.crash();
    let whole = fs::read(files(&dir, "log").pop().unwrap()).unwrap();
    for length in 0..whole.len() {
        change_log(&dir, |bytes| *bytes = whole[..length].to_vec());
        let it = Store::open(copied(&dir));
        assert_eq!(all(&it.partition), abc(length / size), "cut at byte {length}");
    }
    change_log(&dir, |bytes| *bytes = whole[..whole.len() - 1].to_vec());
    starts_with(dir, 2).await;
}

#[tokio::test]
async fn garbage_after_the_last_batch_is_cut_off() {
    for garbage in [vec![0; 1], vec![0; 5000], vec![0xff; 5000], (0..=255).cycle().take(3 << 20).collect()] {
        let (it, _) = three(&[]).await;
        let dir = it.crash();
        change_log(&dir, |bytes| bytes.extend(garbage));
        starts_with(dir, 3).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_last_batch_cuts_it() {
    for clean in [false, true] {
        let (it, size) = three(&[("index.interval.bytes", "1")]).await;
        if clean {
            it.topics.close().await.unwrap();
        }
        let dir = it.crash();
        for byte in 0..size {
            let copied = copied(&dir);
            change_log(&copied, |bytes| bytes[2 * size + byte] ^= 1);
            let it = Store::open(copied);
            let epoch = (12..16).contains(&byte); // outside the checksum, and nobody's
            assert_eq!(all(&it.partition), abc(if epoch { 3 } else { 2 }), "byte {byte}");
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_before_good_batches_is_refused_and_the_error_tells_where_and_what_to_do() {
    for clean in [false, true] {
        let (it, size) = three(&[("index.interval.bytes", "1")]).await;
        if clean {
            it.topics.close().await.unwrap();
        }
        let dir = it.crash();
        for byte in (0..size).filter(|byte| !(12..16).contains(byte)) {
            let copied = copied(&dir);
            let log = change_log(&copied, |bytes| bytes[size + byte] ^= 1);
            let text = refused(copied.path()).to_string();
            let says = |part: &str| assert!(text.contains(part), "byte {byte}: {part} is not in: {text}");
            says(log.to_str().unwrap());
            says(&format!("damaged at byte {size}, offset 1:"));
            says(&format!("from byte {}", 2 * size));
            says(&format!("truncate -s {size} {}", log.display()));
            // Nothing was cut: refused again, and what the error tells mends it.
            refused(copied.path());
            fs::File::options().write(true).open(&log).unwrap().set_len(size as u64).unwrap();
            assert_eq!(all(&Store::open(copied).partition), abc(1));
        }
    }
}

#[tokio::test]
async fn a_damaged_length_that_hides_what_follows_is_damage_not_a_torn_end() {
    let (it, size) = three(&[]).await;
    let dir = it.crash();
    change_log(&dir, |bytes| bytes[size + 8] = 0x7f);
    assert!(refused(dir.path()).to_string().contains(&format!("damaged at byte {size}, offset 1:")));
}

/// What a start finds after these bytes of the second of three large batches became zeros: how many records, or why it is refused.
async fn with_zeros(clean: bool, zeros: impl FnOnce(usize) -> std::ops::Range<usize>) -> Result<usize, String> {
    let it = Store::new(&[("index.interval.bytes", "1")]);
    let large = batch(&[&"x".repeat(20_000)]);
    for _ in 0..3 {
        store(&it.partition, large.clone()).await.unwrap();
    }
    if clean {
        it.topics.close().await.unwrap();
    }
    let dir = it.crash();
    change_log(&dir, |bytes| bytes[zeros(large.len())].fill(0));
    let topics = try_reopened(dir.path()).map_err(|error| error.to_string())?;
    Ok(all(&topics.partition("t", 0).unwrap()).len())
}

#[tokio::test]
async fn a_page_that_a_power_failure_never_wrote_is_a_torn_end_and_other_zeros_are_damage() {
    assert_eq!(with_zeros(false, |size| size..2 * size).await, Ok(1), "all of the second batch");
    assert_eq!(with_zeros(false, |size| size..size.next_multiple_of(4096)).await, Ok(1), "the rest of a page");
    assert_eq!(with_zeros(false, |_| 6 * 4096..7 * 4096).await, Ok(1), "a page within it");
    assert_eq!(with_zeros(false, |_| 0..4096).await, Ok(0), "the first page");
    let refused = "offset 1:";
    let damaged = with_zeros(false, |_| 6 * 4096 + 1..7 * 4096).await.unwrap_err();
    assert!(damaged.contains(refused), "less than a page: {damaged}");
    let damaged = with_zeros(true, |size| size..2 * size).await.unwrap_err();
    assert!(damaged.contains(refused), "before the recovery point: {damaged}");
}

#[tokio::test]
async fn what_no_fdatasync_is_known_to_have_written_is_written_again() {
    for clean in [false, true] {
        let (it, _) = three(&[]).await;
        if clean {
            it.topics.close().await.unwrap();
        }
        let dir = it.crash();
        let log = files(&dir, "log").pop().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&log).unwrap().set_modified(long_ago).unwrap();
        let it = Store::open(dir);
        assert_eq!(all(&it.partition), abc(3));
        let written = fs::metadata(&log).unwrap().modified().unwrap() != long_ago;
        assert_eq!(written, !clean, "after a clean stop: {clean}");
    }
}

#[tokio::test]
async fn damage_in_a_closed_segment_whose_index_is_gone_is_refused() {
    let (it, size) = three(&[("segment.bytes", "100")]).await;
    let dir = it.crash();
    let log = files(&dir, "log").remove(1);
    let mut bytes = fs::read(&log).unwrap();
    bytes[size - 1] ^= 1;
    fs::write(&log, bytes).unwrap();
    files(&dir, "index").iter().for_each(|index| fs::remove_file(index).unwrap());
    let text = refused(dir.path()).to_string();
    assert!(text.contains("damaged at byte 0, offset 1:") && text.contains(log.to_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_missing_or_wrong_index_is_made_anew() {
    let settings = [("segment.bytes", "600"), ("index.interval.bytes", "100")];
    let it = Store::new(&settings);
    for index in 0..60 {
        store(&it.partition, batch(&[&format!("v{index}")])).await.unwrap();
    }
    it.topics.close().await.unwrap();
    let expected = all(&it.partition);
    let dir = it.crash();
    let indexes = files(&dir, "index");
    assert!(indexes.len() > 5);
    let first = fs::read(&indexes[0]).unwrap();
    type Wrong<'a> = &'a dyn Fn(&Path, Vec<u8>);
    let wrongs: [Wrong<'_>; 6] = [
        &|path, _| fs::remove_file(path).unwrap(),
        &|path, _| fs::write(path, []).unwrap(),
        &|path, bytes| fs::write(path, &bytes[..bytes.len() - 1]).unwrap(),
        &|path, mut bytes| {
            bytes[7] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        &|path, _| fs::write(path, b"something else, longer than a footer is wide").unwrap(),
        &|path, _| fs::write(path, &first).unwrap(), // another segment's
    ];
    for wrong in wrongs {
        let copied = copied(&dir);
        for index in files(&copied, "index") {
            let bytes = fs::read(&index).unwrap();
            wrong(&index, bytes);
        }
        let it = Store::open(copied);
        assert_eq!(all(&it.partition), expected);
        for offset in 0..60 {
            assert_eq!(it.partition.read(offset, 1, true).unwrap()[..8], offset.to_be_bytes());
        }
        let made: Vec<Vec<u8>> = files(&it.dir, "index").iter().map(|index| fs::read(index).unwrap()).collect();
        let closed = files(&it.dir, "log").len() - 1;
        for (index, made) in indexes.iter().zip(made).take(closed) {
            assert_eq!(fs::read(index).unwrap(), made, "{}", index.display());
        }
    }
}

#[tokio::test]
async fn an_index_damaged_under_the_running_broker_is_made_anew() {
    let it = Store::new(&[("segment.bytes", "200")]);
    for index in 0..30 {
        store(&it.partition, batch(&[&format!("v{index}")])).await.unwrap();
    }
    files(&it.dir, "index").iter().for_each(|index| fs::write(index, b"damaged").unwrap());
    assert_eq!(all(&it.partition).len(), 30);
}

#[tokio::test]
async fn files_that_never_came_to_their_place_are_removed_and_strangers_left_alone() {
    let (it, _) = three(&[]).await;
    let dir = it.crash();
    let names = ["00000000000000000000.log.new", "00000000000000000007.index", "notes.txt"];
    let paths = names.map(|name| partition_dir(&dir).join(name));
    paths.iter().for_each(|path| fs::write(path, b"x").unwrap());
    let dir = starts_with(dir, 3).await;
    assert_eq!(paths.map(|path| path.exists()), [false, false, true]);
    drop(dir);
}

#[tokio::test]
async fn an_unreadable_state_is_refused_by_name() {
    let (it, _) = three(&[]).await;
    it.partition.delete_before(1).unwrap();
    let dir = it.crash();
    let state = partition_dir(&dir).join("partition.json");
    fs::write(&state, b"{").unwrap();
    assert!(refused(dir.path()).to_string().contains(state.to_str().unwrap()));
}

#[tokio::test]
async fn a_log_that_lost_what_came_before_its_start_goes_on_at_its_start() {
    let (it, size) = three(&[]).await;
    it.partition.delete_before(3).unwrap();
    let dir = it.crash();
    change_log(&dir, |bytes| bytes.truncate(size));
    let it = Store::open(dir);
    assert_eq!((it.partition.offsets().log_start, it.partition.offsets().log_end), (3, 3));
    assert_eq!(store(&it.partition, batch(&["after"])).await.unwrap().base_offset, 3);
    assert_eq!(all(&it.restarted().partition), [(3, "after".into())]);
}
