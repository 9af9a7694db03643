//! Lines in a file and elsewhere, and outputs that are too slow or cannot be opened.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use plugin_api::http::StatusCode;
use plugin_api::{Context, Outcome, Record, Uuid};

use super::*;

/// A file of its own, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tollgate-access-log-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn settings(&self) -> AccessLogSettings {
        AccessLogSettings { path: AccessLogPath::File(self.0.clone()), format: AccessLogFormat::Json, usage: false }
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.0).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn record(path: String) -> Record {
    let mut context = Context::new(Uuid::nil());
    context.client = Some([127, 0, 0, 1].into());
    Record {
        path,
        host: "host".into(),
        context,
        upstream: Some("up".into()),
        server: Some("server:1".into()),
        attempts: 1,
        status: Some(StatusCode::OK),
        outcome: Outcome::Completed,
        ..Record::begun(Uuid::nil(), SystemTime::UNIX_EPOCH)
    }
}

fn open(settings: &AccessLogSettings) -> io::Result<AccessLog> {
    AccessLog::open(settings, Path::new(""), &AccessLogs::default(), Arc::default())
}

#[test]
fn answers_are_read_for_lines_that_show_them_and_only_where_there_are_lines() {
    let scratch = Scratch::new("answers");
    let reads = |format: &str, usage: bool| {
        let format = serde_json::from_value(format.into()).unwrap();
        let log = open(&AccessLogSettings { format, usage, ..scratch.settings() }).unwrap();
        [true, false].map(|route_is_logged| log.reads_answers(route_is_logged))
    };
    assert_eq!(reads("$status $input_tokens", false), [true, false]);
    assert_eq!(reads("$status", false), [false, false]);
    assert_eq!(reads("json", false), [false, false]);
    assert_eq!(reads("json", true), [true, true], "for the metrics of all");
}

fn put(log: &AccessLog, record: &Record) {
    log.record(Entry { record, domain: "", server_name: "", path: &record.path, captured: None });
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

#[test]
fn lines_of_many_threads_are_whole_and_all_there() {
    const THREADS: usize = 8;
    // all of them fit into the buffer, however long their writer waits for its turn
    const LINES: usize = 1000;
    let file = Scratch::new("threads");
    // an old and a new configuration write to the same file for a while
    let all = AccessLogs::default();
    let logs = [(); 2].map(|()| AccessLog::open(&file.settings(), Path::new(""), &all, Arc::default()).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = &logs[thread % 2];
            scope.spawn(move || {
                for line in 0..LINES {
                    put(log, &record(format!("/{thread}/{line}/{}", "x".repeat(line % 300))));
                }
            });
        }
    });
    assert!(logs.iter().all(|log| log.lost() == 0));
    drop(logs);
    let mut next = [0; THREADS];
    for line in file.lines() {
        let path = line["path"].as_str().unwrap();
        let numbers: Vec<usize> = path.split('/').skip(1).take(2).map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers[1], next[numbers[0]], "a thread's lines keep their order");
        next[numbers[0]] += 1;
    }
    assert_eq!(next, [LINES; THREADS]);
}

#[test]
fn a_line_is_written_though_no_other_follows() {
    let file = Scratch::new("single");
    let log = open(&file.settings()).unwrap();
    for lines in 1..=3 {
        put(&log, &record("/".into()));
        eventually("the line", || fs::read_to_string(&file.0).is_ok_and(|text| text.lines().count() == lines));
    }
}

#[test]
fn a_rotation_reaches_the_logs_of_all_configurations() {
    let (file, rotated) = (Scratch::new("rotation"), Scratch::new("rotated"));
    let all = AccessLogs::default();
    let open = || AccessLog::open(&file.settings(), Path::new(""), &all, Arc::default()).unwrap();
    let (old, new) = (open(), open());
    put(&old, &record("/1".into()));
    eventually("the line", || fs::read_to_string(&file.0).is_ok_and(|text| text.lines().count() == 1));
    fs::rename(&file.0, &rotated.0).unwrap();
    all.reopen().unwrap();
    put(&old, &record("/2".into()));
    put(&new, &record("/3".into()));
    drop((old, new));
    let paths = |lines: Vec<serde_json::Value>| lines.iter().map(|line| line["path"].clone()).collect::<Vec<_>>();
    assert_eq!((paths(rotated.lines()), paths(file.lines())), (vec!["/1".into()], vec!["/2".into(), "/3".into()]));
}

#[test]
fn an_output_that_is_stuck_costs_lines_and_nothing_else() {
    let pipe = Scratch::new("stuck");
    assert!(std::process::Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let lost = Arc::new(AtomicU64::new(0));
    let log = AccessLog::open(&pipe.settings(), Path::new(""), &AccessLogs::default(), lost).unwrap();
    let mut written = 0_u64;
    let one = record("/".repeat(4000));
    let mut slowest = Duration::ZERO;
    while log.lost() < 100 {
        let began = Instant::now();
        put(&log, &one);
        slowest = slowest.max(began.elapsed());
        written += 1;
        assert!(written < 10_000, "the buffer is bounded");
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(written * 4000 > 4 << 20, "{written} lines; the buffer is of use");
    let began = Instant::now();
    drop(log);
    assert!(began.elapsed() < Duration::from_secs(10), "the end does not wait for ever");
}

#[test]
fn a_pipe_that_is_read_again_gets_the_lines_that_waited() {
    use std::io::BufRead as _;

    let pipe = Scratch::new("read-again");
    assert!(std::process::Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let log = open(&pipe.settings()).unwrap();
    for line in 0..1000 {
        put(&log, &record(format!("/{line}/{}", "x".repeat(1000))));
    }
    let read = std::io::BufReader::new(fs::File::open(&pipe.0).unwrap());
    for (line, text) in read.lines().take(1000).enumerate() {
        let value: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert!(value["path"].as_str().unwrap().starts_with(&format!("/{line}/")));
    }
    assert_eq!(log.lost(), 0);
}

#[test]
fn an_output_that_fails_loses_lines_and_counts_them() {
    let settings = AccessLogSettings { path: AccessLogPath::File("/dev/full".into()), ..Default::default() };
    let log = open(&settings).unwrap();
    for lines in 1..=2 {
        put(&log, &record("/".into()));
        eventually("the loss", || log.lost() == lines);
    }
}

#[test]
fn a_log_that_is_off_makes_nothing() {
    let settings = AccessLogSettings { path: AccessLogPath::Off, ..Default::default() };
    let log = open(&settings).unwrap();
    put(&log, &record("/".into()));
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let settings = AccessLogSettings { path: AccessLogPath::File("no/such/folder".into()), ..Default::default() };
    let error = AccessLog::open(&settings, Path::new("/nowhere"), &AccessLogs::default(), Arc::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/no/such/folder"), "{error}");
}
