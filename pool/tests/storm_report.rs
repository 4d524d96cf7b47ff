//! The page that the example `storm` writes, as its readers have it. The example is this file, started
//! again: never an older build. What only a browser can say is asked of Chromium, where it is installed.

#![cfg(not(loom))]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use scraper::{ElementRef, Html, Selector};

#[path = "../examples/storm/main.rs"]
#[expect(dead_code, reason = "its main is the example's")]
mod storm;

#[path = "support/browser.rs"]
mod browser;

const ARGS: &str = "POOL_TEST_STORM_ARGS";
/// Between two arguments: what is in none of them.
const SEPARATOR: char = '\u{1f}';

/// No test, but the process that tests start.
#[test]
fn the_storm_itself() {
    if let Ok(args) = std::env::var(ARGS) {
        let args = std::iter::once("storm").chain(args.split(SEPARATOR));
        std::process::exit(storm::cli::run(args.map(Into::into)).into());
    }
}

fn example(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // With one thread, as on one CPU, the test's name would begin the first line.
    command.args(["--exact", "the_storm_itself", "--nocapture", "--test-threads=2"]);
    command.env(ARGS, arguments.join(&SEPARATOR.to_string()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder, and the page and the results of a short run in it.
struct Run {
    folder: tempfile::TempDir,
    page: String,
    rows: serde_json::Value,
}

impl Run {
    fn of(protocol: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (page, json) = (folder.path().join("page.html"), folder.path().join("rows.json"));
        let mut arguments = vec!["--protocol", protocol, "--launches", "40"];
        arguments.extend(["--report", page.to_str().unwrap(), "--json", json.to_str().unwrap()]);
        arguments.extend(more);
        let output = example(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let rows = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
        Self { page: fs::read_to_string(page).unwrap(), rows, folder }
    }

    fn html(&self) -> Html {
        Html::parse_document(&self.page)
    }
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect()
}

#[test]
fn the_page_is_whole_and_has_a_panel_for_its_protocol() {
    for protocol in ["prime", "pieces", "claim", "choose"] {
        let run = Run::of(protocol, &[]);
        let html = run.html();
        assert!(html.errors.is_empty(), "{:?}", html.errors);
        assert!(all(&html, "title").iter().any(|title| text(*title).contains(protocol)));
        assert_eq!(all(&html, "meta[name=viewport]").len(), 1);
        let panels = all(&html, "[data-protocol]");
        let [panel] = &panels[..] else { panic!("one protocol, one panel: {}", panels.len()) };
        assert_eq!(panel.value().attr("data-protocol"), Some(protocol));
        assert!(text(*panel).contains("All 40 launches were done"), "{}", text(*panel));
        assert_eq!(all(&html, "[data-protocol] figure > svg").len(), 3);
        assert_eq!(all(&html, "svg.sequence").len(), 1);
        // Where a link on the page goes, there is something; and one thing.
        let mut ids: Vec<_> = all(&html, "[id]").iter().filter_map(|it| it.value().id()).collect();
        for link in all(&html, "a[href]") {
            assert!(ids.contains(&link.value().attr("href").unwrap().trim_start_matches('#')));
        }
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    }
}

#[test]
fn every_picture_has_a_name() {
    let run = Run::of("choose", &[]);
    let html = run.html();
    let pictures = all(&html, "svg");
    assert!(pictures.len() > 5, "{}", pictures.len());
    for picture in pictures {
        let attribute = |name| picture.value().attr(name);
        let is_decoration = attribute("aria-hidden") == Some("true");
        let has_name =
            attribute("role") == Some("img") && attribute("aria-label").is_some_and(|it| !it.is_empty());
        assert!(is_decoration || has_name, "{}", &picture.html()[..200]);
        assert!(attribute("viewBox").is_some(), "it cannot scale: {}", &picture.html()[..200]);
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let run = Run::of("choose", &[]);
    let html = run.html();
    assert!(all(&html, "script, link, img, iframe, object, embed, base, form").is_empty());
    for element in all(&html, "*") {
        for (name, value) in element.value().attrs() {
            let goes = ["src", "href", "xlink:href", "srcset", "action", "poster", "data"].contains(&name);
            assert!(!goes || value.starts_with('#'), "{name}={value}");
            assert!(!value.replace("url(#", "").contains("url("), "{name}={value}");
            assert!(!name.starts_with("on"), "{name}={value}");
        }
    }
    for style in all(&html, "style") {
        let style = text(style);
        assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
    }
    assert!(run.page.contains("default-src 'none'"));
}

#[test]
fn a_run_of_nothing_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let arguments = ["--args-from", "/dev/null", "--protocol", "claim", "--report", page.to_str().unwrap()];
    let output = example(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let html = Html::parse_document(&fs::read_to_string(page).unwrap());
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    assert_eq!(all(&html, "[data-protocol=claim]").len(), 1);
}

/// What a program is called is nothing that a page may obey.
#[test]
fn what_comes_from_outside_is_text() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("<i>a & b's");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    let run = Run::of("choose", &["--program", program.to_str().unwrap()]);
    let html = run.html();
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    assert!(all(&html, "i").is_empty());
    let command = all(&html, "pre code").into_iter().map(text).next().unwrap();
    assert!(command.starts_with("cargo run --release --example storm -- --protocol choose"), "{command}");
    assert!(command.contains("<i>a & b's"), "{command}");
}

#[test]
fn json_has_what_the_page_is_made_of() {
    let run = Run::of("choose", &[]);
    let row = &run.rows[0];
    let samples = row["samples"].as_array().unwrap();
    assert!(!samples.is_empty() && samples.len() <= 2_000, "{}", samples.len());
    let last = &samples[samples.len() - 1];
    assert_eq!(last["puts"], 40, "{last}");
    assert!(last["held_bytes"].as_u64().unwrap() > 0, "{last}");
    assert_eq!(last["waiting"], 0, "{last}");
    let times: Vec<_> = samples.iter().map(|sample| sample["at_us"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(row["wait_quantiles"].as_array().unwrap().len(), 6);
    assert_eq!(row["wait_quantiles"][5]["us"], row["wait_us"]["max"]);
    assert_eq!(row["memory"]["most_bytes"], 4 * 256 * 1024, "half as many items as launchers");
    assert!(row["stuck_at"].as_array().unwrap().is_empty());
}

/// Where nothing can be written, nothing is run.
#[test]
fn files_that_cannot_be_written_are_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let says = |arguments: &[&str]| {
        let Output { status, stderr, .. } = example(arguments).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "{arguments:?}");
        assert!(!said.contains("waiting"), "it ran: {said}");
        said
    };
    for option in ["--report", "--json"] {
        let said = says(&[option, &path("missing/page.html")]);
        assert!(said.contains(&format!("{option}: cannot write to ")), "{said}");
        assert!(said.contains("missing/page.html") && said.contains("No such file"), "{said}");
        let said = says(&[option, folder.path().to_str().unwrap()]);
        assert!(said.contains(option) && said.contains("is a directory"), "{said}");
    }
    let said = says(&["--report", &path("one"), "--json", &path("./one")]);
    assert!(said.contains("--json and --report name the same file"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let output =
        example(&["--protocol", "choose", "--launches", "2", "--report", "/dev/full"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/dev/full") && said.contains("No space left"), "{said}");
}

#[test]
fn interrupted_it_leaves_the_older_page_and_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let (page, args) = (folder.path().join("page.html"), folder.path().join("args"));
    fs::write(&page, "older").unwrap();
    fs::write(&args, "1\n".repeat(1_000)).unwrap();
    let (page, args) = (page.to_str().unwrap(), args.to_str().unwrap());
    let arguments =
        ["--protocol", "choose", "-P", "2", "--program", "sleep", "--args-from", args, "--report", page];
    let mut storm = example(&arguments).spawn().unwrap();
    let mut errors = BufReader::new(storm.stderr.take().unwrap());
    let mut begun = String::new();
    while !begun.contains("choose: ") {
        assert_ne!(errors.read_line(&mut begun).unwrap(), 0, "{begun}");
    }
    // Not SIGINT, which a shell has its background jobs ignore, and these tests with them.
    // SAFETY: it sends a signal to a child that was not waited for yet.
    assert_eq!(unsafe { libc::kill(storm.id().cast_signed(), libc::SIGTERM) }, 0);
    assert!(!storm.wait().unwrap().success());
    assert_eq!(fs::read_to_string(page).unwrap(), "older");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the page and the arguments");
}

/// What a browser says of the page: it reads as well on a telephone and in the dark.
#[test]
fn a_browser_shows_it() {
    let Some(browser) = browser::Browser::find() else {
        // Past the capture of what passing tests say.
        let _ = writeln!(
            io::stderr(),
            "a_browser_shows_it: skipped, there is no Chromium here, nor does CHROME name one"
        );
        return;
    };
    let run = Run::of("choose", &[]);
    let page = run.folder.path().join("page.html");
    let dom = browser.dom(&page, browser::Scheme::Light);
    let html = Html::parse_document(&dom);
    assert_eq!(all(&html, "[data-protocol=choose] figure > svg").len(), 3);
    assert_eq!(all(&html, "svg.sequence").len(), 1);
    for scheme in [browser::Scheme::Light, browser::Scheme::Dark] {
        for (width, height) in [(390, 844), (1280, 1000)] {
            let seen = browser.look(&page, scheme, width, height);
            let figure = |name: &str| seen[name].as_f64().unwrap_or_else(|| panic!("no {name} in {seen}"));
            assert_eq!(seen["width"], width, "{seen}");
            assert!(figure("scroll") <= f64::from(width), "it scrolls sideways: {seen}");
            assert!(figure("letter") >= 9.0, "letters of pictures are too small to be read: {seen}");
            assert!(figure("picture") >= 250.0, "a picture is too small: {seen}");
            let (page, chart) = (&seen["background"], &seen["chart"]);
            let expected = match scheme {
                browser::Scheme::Light => "rgb(255, 255, 255)",
                browser::Scheme::Dark => "rgb(13, 17, 23)",
            };
            assert_eq!((page, chart), (&expected.into(), &expected.into()), "{seen}");
            let colours = colours(&browser.screenshot(run.folder.path(), scheme, width, height));
            assert!(colours > 20, "{scheme:?}, {width} wide: {colours} colours are a blank page");
        }
    }
}

/// How many colours a picture has.
fn colours(png: &Path) -> usize {
    let file = fs::File::open(png).unwrap_or_else(|error| panic!("{}: {error}", png.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let each = info.color_type.samples();
    pixels[..info.buffer_size()].chunks(each).collect::<std::collections::HashSet<_>>().len()
}

/// The page's copy in a folder, with what `more` makes of it.
fn copy(page: &Path, name: &str, more: impl Fn(String) -> String) -> PathBuf {
    let copy = page.with_file_name(name);
    fs::write(&copy, more(fs::read_to_string(page).unwrap())).unwrap();
    copy
}
