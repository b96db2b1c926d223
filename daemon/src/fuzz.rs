//! Feeds parsers what nobody would write: the files of `daemon/fuzz/corpus/<parser>/` as they are, then changed at random, for
//! a second, or for as long as `RYZED_FUZZ_SECONDS` says (`scripts/fuzz --minutes 10`). Proptest draws the changes and makes
//! what fails as small as it can. What fails is kept in `target/fuzz/`, to be put into the corpus once it is mended.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

/// The default time that a parser is tried.
const USUAL: Duration = Duration::from_secs(1);
/// Inputs between two looks at the clock.
const ROUND: u32 = 64;
/// No input is longer, in bytes.
const LONGEST: usize = 64 << 10;
/// No input takes longer, also on a machine that is busy.
const SLOWEST: Duration = Duration::from_secs(10);
/// Bytes that parsers stumble over.
const WORDS: [&[u8]; 22] = [
    b"-1",
    b"9223372036854775807",
    b"18446744073709551616",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"null",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\xf0\x9f\x8d\x90",
    b"\r\n",
    b"\"\"",
    b",,",
    b"::",
    b"[[[[[[[[[[[[[[[[",
    b"{\"id\":",
    b"<![CDATA[",
    b"&#x0;",
    b"9999-12-31T23:59:60.9999999Z",
];

/// One change of an input.
#[derive(Debug, Clone)]
enum Edit {
    /// Another byte at a place.
    Set(usize, u8),
    /// A part goes.
    Cut(usize, usize),
    /// A part comes twice, or many times.
    Repeat(usize, usize, usize),
    /// A word is put in.
    Word(usize, usize),
    /// A part of another input is put in.
    Splice(usize, usize, usize, usize),
    /// The rest goes.
    End(usize),
}

impl Edit {
    fn any() -> impl Strategy<Value = Self> {
        let at = || any::<usize>();
        prop_oneof![
            (at(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            (at(), 0..64_usize).prop_map(|(at, length)| Self::Cut(at, length)),
            (at(), 1..64_usize, 1..40_usize).prop_map(|(at, length, times)| Self::Repeat(at, length, times)),
            (at(), at()).prop_map(|(at, word)| Self::Word(at, word)),
            (at(), at(), at(), 1..200_usize)
                .prop_map(|(at, other, from, length)| Self::Splice(at, other, from, length)),
            at().prop_map(Self::End),
        ]
    }

    fn apply(&self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let place = |at: usize, of: &[u8]| at % (of.len() + 1);
        match *self {
            Self::Set(at, byte) => {
                let at = place(at, input);
                if let Some(there) = input.get_mut(at) {
                    *there = byte;
                }
            }
            Self::Cut(at, length) => {
                let at = place(at, input);
                input.drain(at..(at + length).min(input.len()));
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, input);
                let part = input[at..(at + length).min(input.len())].repeat(times);
                input.splice(at..at, part);
            }
            Self::Word(at, word) => {
                let at = place(at, input);
                input.splice(at..at, WORDS[word % WORDS.len()].iter().copied());
            }
            Self::Splice(at, other, from, length) => {
                let other = &corpus[other % corpus.len()];
                let (at, from) = (place(at, input), place(from, other));
                input.splice(at..at, other[from..(from + length).min(other.len())].iter().copied());
            }
            Self::End(at) => input.truncate(place(at, input)),
        }
        input.truncate(LONGEST);
    }
}

/// Feeds a parser its corpus and what can be made of it. `parse` panics on what must not be.
pub(crate) fn run(parser: &str, parse: fn(&[u8])) {
    let corpus = corpus(parser);
    for input in &corpus {
        timed(parse, input);
    }
    let (began, time, mut inputs) = (Instant::now(), time(), corpus.len() as u64);
    let strategy = (any::<usize>(), vec(Edit::any(), 1..12));
    while began.elapsed() < time {
        // A runner that is through does nothing more.
        let mut runner = TestRunner::new(Config { cases: ROUND, failure_persistence: None, ..Config::default() });
        let failed = runner.run(&strategy, |(which, edits)| {
            timed(parse, &edited(&corpus, which, &edits));
            Ok(())
        });
        if let Err(TestError::Fail(why, (which, edits))) = failed {
            let kept = keep(parser, &edited(&corpus, which, &edits));
            panic!("{parser}: {why}; the input is in {}", kept.display());
        }
        inputs += u64::from(ROUND);
    }
    aside!("{parser}: {inputs} inputs in {:.0} s", began.elapsed().as_secs_f64());
}

fn edited(corpus: &[Vec<u8>], which: usize, edits: &[Edit]) -> Vec<u8> {
    let mut input = corpus[which % corpus.len()].clone();
    edits.iter().for_each(|edit| edit.apply(&mut input, corpus));
    input
}

fn timed(parse: fn(&[u8]), input: &[u8]) {
    let began = Instant::now();
    parse(input);
    assert!(began.elapsed() < SLOWEST, "{} bytes took {:?}", input.len(), began.elapsed());
}

fn corpus(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(parser);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{parser} has no corpus");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn time() -> Duration {
    let said = std::env::var("RYZED_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    said.map_or(USUAL, Duration::from_secs)
}

fn keep(parser: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(parser);
    fs::write(&file, input).unwrap();
    file
}
