//! Chromium without a window, where it is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::copy;

/// By which names it is installed.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell"];
/// No time that is measured: a browser that hangs is to fail the test rather than to hang it.
const HANGS: Duration = Duration::from_secs(90);

/// What the reader's system prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// Where it is.
pub(crate) struct Browser(PathBuf);

impl Browser {
    /// The one that `CHROME` names, or one in PATH.
    pub(crate) fn find() -> Option<Self> {
        if let Some(named) = std::env::var_os("CHROME") {
            return Some(Self(named.into()));
        }
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name)));
        found.into_iter().find(|file| file.is_file()).map(Self)
    }

    /// The elements of the page when it is loaded.
    pub(crate) fn dom(&self, page: &Path, scheme: Scheme) -> String {
        self.run(page, scheme, (1280, 1000), &["--dump-dom".into()])
    }

    /// A picture of the page.
    pub(crate) fn screenshot(&self, folder: &Path, scheme: Scheme, width: u32, height: u32) -> PathBuf {
        let picture = folder.join(format!("{scheme:?}-{width}.png"));
        let option = format!("--screenshot={}", picture.display());
        self.run(&folder.join("page.html"), scheme, (width, height), &[option]);
        picture
    }

    /// What a script finds of the page in a frame of this size. No window is as narrow as a telephone.
    pub(crate) fn look(&self, page: &Path, scheme: Scheme, width: u32, height: u32) -> Value {
        // A copy, since the page itself runs no script.
        let inside = copy(page, "inside.html", |page| {
            let page = page.replace("default-src 'none'; style-src", "style-src");
            page.replace("</body>", &format!("<script>{LOOK}</script></body>"))
        });
        let outside = copy(page, "outside.html", |_| {
            let frame =
                format!("<iframe src='inside.html' width={width} height={height} style='border:0'></iframe>");
            format!("<!doctype html><body><script>{LISTEN}</script>{frame}</body>")
        });
        let dom = self.run(
            &outside,
            scheme,
            (1400, 1100),
            &["--dump-dom".into(), "--virtual-time-budget=10000".into()],
        );
        fs::remove_file(inside).unwrap();
        let (_, seen) = dom.split_once("data-seen=\"").unwrap_or_else(|| panic!("nothing was seen: {dom}"));
        let seen = seen.split_once('"').unwrap().0.replace("&quot;", "\"");
        serde_json::from_str(&seen).unwrap()
    }

    fn run(&self, page: &Path, scheme: Scheme, (width, height): (u32, u32), options: &[String]) -> String {
        let profile = tempfile::tempdir().unwrap();
        let said = profile.path().join("said");
        let mut command = Command::new(&self.0);
        // No sandbox: containers have none, and the page is ours.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("--window-size={width},{height}"));
        // 0 is dark, 1 is light.
        command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(scheme == Scheme::Light)));
        command.args(options).arg(format!("file://{}", page.display()));
        command.stdin(Stdio::null()).stdout(File::create(&said).unwrap()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.0.display()));
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > HANGS {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} hangs: {command:?}", self.0.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status}: {command:?}");
        fs::read_to_string(said).unwrap()
    }
}

const LISTEN: &str =
    "addEventListener('message', ({data}) => { document.body.dataset.seen = JSON.stringify(data); })";

/// `letter` is how high the smallest line of text in a picture is, `picture` how wide the narrowest is.
const LOOK: &str = "addEventListener('load', () => {
    const least = (selector, of) => Math.min(...[...document.querySelectorAll(selector)].map(of));
    const box = (element) => element.getBoundingClientRect();
    const style = (element) => getComputedStyle(element);
    parent.postMessage({
        width: innerWidth,
        scroll: document.documentElement.scrollWidth,
        letter: least('svg[role=img] text', (text) => box(text).height),
        picture: least('svg[role=img]', (svg) => box(svg).width),
        background: style(document.body).backgroundColor,
        chart: style(document.querySelector('article svg[role=img] rect')).fill,
    }, '*');
})";
