//! The inputs of the corpora, which any compiler can check: what was found once stays mended, and the checks compile.

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_a_corpus_passes_its_check() {
    for (target, check) in fuzz::TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(Path::new("corpus").join(target)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }
}

#[test]
fn every_target_has_a_check() {
    for entry in fs::read_dir("fuzz_targets").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(fuzz::TARGETS.iter().any(|(target, _)| *target == name), "{name}");
    }
}
