//! Plots as SVG, without a script and without a network.

use std::fmt::Write as _;

use super::table::{Goal, Row};

const WIDTH: f64 = 640.0;
const NAME: f64 = 300.0;
const BAR: f64 = 12.0;
const LINE: f64 = 22.0;

/// One row: a dot for each round of what the goal speaks of, a bar at their median, and a line at the goal. The scale is
/// that of the goal, or of the figures, whichever is longer.
pub(super) fn plot(row: &Row) -> String {
    let Some(spread) = row.judged() else { return String::new() };
    let rounds = row.rounds();
    let goal = match row.goal() {
        Goal::Share(bound) | Goal::Times(bound) | Goal::AtMost(bound) | Goal::AtLeast(bound) => Some(bound),
        Goal::None => None,
    };
    let longest = rounds.iter().copied().chain(goal).fold(f64::MIN_POSITIVE, f64::max);
    let at = |figure: f64| NAME + (WIDTH - NAME - BAR) * figure / longest;
    let class = match row.is_met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "plain",
    };
    let (middle, top) = (LINE / 2.0, (LINE - BAR) / 2.0);
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {LINE}" role="img"><text x="0" y="{:.1}">{}</text><rect class="{class}" x="{NAME}" y="{top}" width="{:.1}" height="{BAR}"/>"#,
        middle + 4.0,
        escaped(row.what()),
        at(spread.middle()) - NAME
    );
    for round in &rounds {
        let _ = write!(svg, r#"<circle cx="{:.1}" cy="{middle}" r="3"/>"#, at(*round));
    }
    if let Some(goal) = goal {
        let x = at(goal);
        let _ = write!(svg, r#"<line class="goal" x1="{x:.1}" x2="{x:.1}" y1="0" y2="{LINE}"/>"#);
    }
    svg.push_str("</svg>");
    svg
}

/// Text as it stands in HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_dot_for_each_round_and_a_line_at_the_goal() {
        let mut row = Row::of("a <b>", "s", Goal::AtMost(2.0));
        [1.0, 4.0, 3.0].into_iter().for_each(|figure| row.ours(figure));
        let svg = plot(&row);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches(r#"class="goal""#).count(), 1);
        assert!(svg.contains("missed") && svg.contains("a &lt;b&gt;"), "{svg}");
    }

    #[test]
    fn nothing_measured_is_nothing_drawn() {
        assert_eq!(plot(&Row::of("a", "s", Goal::Share(0.5))), "");
    }
}
