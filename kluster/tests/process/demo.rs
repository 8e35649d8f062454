//! The demo, told without a terminal.

use super::kluster::{command, up};
use std::process::Stdio;

#[tokio::test(flavor = "multi_thread")]
async fn the_story_ends_with_one_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut demo = command(&["demo", "--speed", "fast", "--dir", path]);
    let told = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.unwrap();
    let (story, trouble) = (String::from_utf8(told.stdout).unwrap(), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{story}\n{trouble}");
    let line =
        |part: &str| story.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part:?}: {story}"));
    let checksum = line("One checksum, ").split(", ").nth(1).unwrap();
    assert_eq!(checksum.len(), 16, "{story}");
    for node in ["n1", "n2", "n3"] {
        assert!(line(&format!("{node} at offset ")).ends_with(checksum), "{story}");
    }
    let words: Vec<&str> = line(" present, none twice.").split_whitespace().collect();
    assert_eq!(words[0], words[3], "acknowledged and present: {story}");
    assert!(words[0].parse::<u32>().unwrap() > 0);
    assert!(line("The cluster is kept").ends_with(path));
    let running = up(dir.path(), 0, &[]).await;
    let kept: u32 = running.client().await.query("select count(*) from orders").strong().fetch_one().await.unwrap();
    assert_eq!(kept, words[0].parse::<u32>().unwrap());
    running.drained().await;
    assert!(!story.contains('\x1b'), "colours are for terminals: {story:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_used_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "").unwrap();
    let told = command(&["demo", "--dir", dir.path().to_str().unwrap()]).output().await.unwrap();
    assert_eq!(told.status.code(), Some(13), "{}", String::from_utf8_lossy(&told.stderr));
}
