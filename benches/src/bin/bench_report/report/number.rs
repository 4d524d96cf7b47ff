//! Figures as people read them: three digits that mean something, never more.

/// Three significant digits, and all of those before the point.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size == 0.0 || size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    grouped(&format!("{value:.decimals$}"))
}

/// As [`figure`], without zeros behind the point.
pub(crate) fn plain(value: f64) -> String {
    trimmed(&figure(value)).to_owned()
}

/// A duration in the unit that leaves one to three digits before the point.
pub(crate) fn duration(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 999.5 => (ns, "ns"),
        ns if ns < 999.5e3 => (ns / 1e3, "us"),
        ns if ns < 999.5e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", figure(value))
}

/// A round number, as short as axes need it: `100k`.
pub(crate) fn short(value: f64) -> String {
    let (value, unit) = match value {
        value if value < 1e3 => (value, ""),
        value if value < 1e6 => (value / 1e3, "k"),
        value => (value / 1e6, "M"),
    };
    plain(value) + unit
}

/// A round duration, as short as axes need it: `100 us`.
pub(crate) fn short_duration(ns: f64) -> String {
    let long = duration(ns);
    let (number, unit) = long.split_once(' ').expect("a number and a unit");
    format!("{} {unit}", trimmed(number))
}

/// Without the zeros behind the point.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A share in percent, of which two digits are enough. What is not nothing is not shown as nothing.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 1.0 => "under 1 %".to_owned(),
        percent => format!("{} %", grouped(&format!("{percent:.0}"))),
    }
}

/// With a comma before each three digits.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = String::new();
    for (nth, digit) in whole.chars().enumerate() {
        let behind = whole.len() - nth;
        if nth > 0 && behind.is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let shown = [0.0, 0.653, 4.4, 9.996, 12.34, 99.96, 543.2, 1_234_567.0, -1234.0].map(figure);
        assert_eq!(shown, ["0", "0.65", "4.40", "10.0", "12.3", "100", "543", "1,234,567", "-1,234"]);
    }

    #[test]
    fn durations_choose_their_unit() {
        let shown = [3.3, 999.4, 999.6, 8_000.0, 2.5e6, 1.5e9].map(duration);
        assert_eq!(shown, ["3.30 ns", "999 ns", "1.00 us", "8.00 us", "2.50 ms", "1.50 s"]);
    }

    #[test]
    fn axes_have_no_needless_zeros() {
        assert_eq!([0.2, 1.0, 10.0, 1e3, 2e5, 1e6].map(short), ["0.2", "1", "10", "1k", "200k", "1M"]);
        assert_eq!([1.0, 5e4, 1e6].map(short_duration), ["1 ns", "50 us", "1 ms"]);
    }

    #[test]
    fn a_little_is_not_nothing() {
        assert_eq!([0.001, 0.09, 12.0].map(percent), ["under 1 %", "9 %", "1,200 %"]);
    }
}
