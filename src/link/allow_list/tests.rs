use std::fs;

use super::*;
use crate::certificate;
use crate::certificate_file::{Existing, Metadata, write_pair};

#[test]
fn a_folder_without_the_names_that_count_is_told_with_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let key = certificate::generate().unwrap().public;
    let write = |file: &str, name: &str| {
        let text = format!("metadata\n    name = \"{name}\"\ncurve\n    public-key = \"{key}\"\n");
        fs::write(folder.path().join(file), text).unwrap();
    };
    let refresh = |list: &AllowList| {
        let mut findings = Findings::default();
        list.refresh(&mut findings);
        findings.notices.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // another file of the same key comes first
    write("a", "other");
    write("b", "web1");
    let list = AllowList::load(folder.path(), Names::parse("Web*").unwrap()).unwrap();
    assert_eq!(list.find(&key).map(|it| it.label()).as_deref(), Some("web1"));
    write("b", "web22");
    assert!(refresh(&list).is_empty() && list.contains(&key));
    write("b", "another");
    let told = refresh(&list);
    assert!(told[0].contains("with a name that fits allowednames=\"Web*\":"), "{told:?}");
    assert!(list.is_empty());
    let list = AllowList::load(folder.path(), Names::default()).unwrap();
    for file in ["a", "b"] {
        fs::remove_file(folder.path().join(file)).unwrap();
    }
    let told = refresh(&list);
    assert!(told[0].ends_with("holds no usable certificate any more: nobody is allowed in"));
}

fn told(list: &AllowList) -> (Vec<String>, usize) {
    let mut findings = Findings::default();
    list.refresh(&mut findings);
    let sentences = findings.notices.iter().map(ToString::to_string).collect();
    (sentences, findings.removed.len())
}

fn pair(path: &Path) -> PublicKey {
    let pair = certificate::generate().unwrap();
    write_pair(path, &pair, &Metadata::new(), Existing::Keep).unwrap();
    pair.public
}

#[test]
fn who_takes_the_public_file_away_takes_the_key_away() {
    let folder = tempfile::tempdir().unwrap();
    let key = pair(&folder.path().join("web1"));
    pair(&folder.path().join("web2"));
    let list = AllowList::load(folder.path(), Names::default()).unwrap();
    assert!((list.len(), list.broken().len()) == (2, 0) && list.contains(&key));
    fs::remove_file(folder.path().join("web1")).unwrap();
    let (sentences, removed) = told(&list);
    assert!(removed == 1 && !list.contains(&key));
    assert!(sentences[0].contains("web1_secret is by its name"), "{sentences:?}");
    assert_eq!(told(&list), (vec![], 0));
}

#[test]
fn a_key_that_another_file_holds_too_is_told_to_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key = pair(&path("web1"));
    fs::remove_file(path("web1_secret")).unwrap();
    fs::copy(path("web1"), path("web1.old")).unwrap();
    let list = AllowList::load(folder.path(), Names::default()).unwrap();
    for (from, to, holder) in
        [("web1.old", "web2", "web1"), ("web1", "web1.revoked", "web1.revoked")]
    {
        fs::rename(path(from), path(to)).unwrap();
        let (sentences, removed) = told(&list);
        assert!((removed, sentences.len()) == (0, 2) && list.contains(&key), "{sentences:?}");
        assert_eq!(list.several_names(), sentences[1..]);
        assert!(sentences[1].contains("too, under another name: it is called "));
        let start = format!("{from} stays allowed, though {} is gone", path(from).display());
        assert!(sentences[0].starts_with(&start), "{sentences:?}");
        let holder = format!(": {} holds its key too", path(holder).display());
        assert!(sentences[0].contains(&holder), "{sentences:?}");
    }
    for file in ["web1.revoked", "web2"] {
        fs::remove_file(path(file)).unwrap();
    }
    assert_eq!(told(&list).1, 1);
}

#[test]
fn a_folder_that_comes_back_empty_lets_nobody_in() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("allowed");
    fs::create_dir(&folder).unwrap();
    let key = pair(&folder.join("web1"));
    let list = AllowList::load(&folder, Names::default()).unwrap();
    fs::rename(&folder, place.path().join("elsewhere")).unwrap();
    assert!((told(&list).1, told(&list).0.len()) == (0, 0) && list.contains(&key));
    fs::create_dir(&folder).unwrap();
    assert!(told(&list).1 == 1 && list.is_empty());
}

#[test]
fn a_folder_of_too_many_files_is_told_once() {
    // in memory: so many files take a disk long
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let key = pair(&folder.path().join("web1"));
    let list = AllowList::load(folder.path(), Names::default()).unwrap();
    for number in 0..100_000 {
        fs::write(folder.path().join(format!(".{number}")), "").unwrap();
    }
    let (sentences, removed) = told(&list);
    assert!(sentences[0].contains("too large: 100000 files at most; whoever was allowed stays"));
    assert!((removed, sentences.len()) == (0, 1) && list.contains(&key), "{sentences:?}");
    assert_eq!(told(&list), (vec![], 0));
}
