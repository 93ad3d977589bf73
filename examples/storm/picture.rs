//! The pictures of the page, readable on light and on dark: nothing is painted behind them, and all text is grey.

use std::num::NonZeroU32;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use retry_policy::Policy;
use retry_policy::jitter::Jitter;
use retry_policy::ratio::Ratio;

use crate::collapse::{self, Load};
use crate::failures::{self, GRID_RATES};
use crate::limits::{self, Limit, Waiting};
use crate::world::live;

/// Text and axes.
const GREY: RGBColor = RGBColor(128, 128, 128);
/// Told apart by most eyes, on white and on black (after Okabe and Ito).
const COLOURS: [RGBColor; 9] = [
    RGBColor(90, 150, 190),
    RGBColor(213, 94, 0),
    RGBColor(200, 140, 0),
    RGBColor(204, 100, 160),
    RGBColor(160, 110, 60),
    RGBColor(60, 150, 210),
    RGBColor(120, 120, 220),
    RGBColor(0, 158, 115),
    RGBColor(0, 130, 200),
];

/// One colour for each name, in all pictures.
fn colour(name: &str) -> RGBColor {
    let names = [
        "no retry",
        "3 attempts",
        "reqwest-retry's defaults",
        "tower's TpsBudget",
        "AWS standard",
        "gRPC (10, 0.1)",
        "Finagle",
        "shed",
        "Stack::pace",
    ];
    names.iter().position(|it| *it == name).map_or(COLOURS[2], |at| COLOURS[at])
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Flat = Cartesian2d<RangedCoordf64, RangedCoordf64>;

/// A line: its name, and what it goes through.
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// A panel with its title, the ranges of its axes and what they show.
struct Panel<'a> {
    title: &'a str,
    x: (&'a str, f64, f64),
    y: (&'a str, f64, f64),
}

/// The pictures by their names, as SVG.
pub fn pictures() -> Vec<(&'static str, String)> {
    vec![
        ("amplification.svg", amplification(&failures::open_in_use())),
        ("goodput.svg", goodput(&collapse::outcomes(collapse::strategies()))),
        ("waits.svg", waits()),
        ("gate.svg", gate()),
    ]
}

fn svg(width: u32, height: u32, draw: impl FnOnce(&Area<'_>)) -> String {
    let mut picture = String::new();
    let area = SVGBackend::with_string(&mut picture, (width, height)).into_drawing_area();
    draw(&area);
    area.present().expect("it is a string");
    drop(area);
    picture
}

fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&GREY)
}

impl Panel<'_> {
    fn draw(&self, area: &Area<'_>, lines: &[Line], has_legend: bool) {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, text(17))
            .margin(12)
            .margin_right(30)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(self.x.1..self.x.2, self.y.1..self.y.2)
            .expect("it fits");
        mesh(&mut chart, self.x.0, self.y.0);
        for line in lines {
            let style = line.colour.stroke_width(
                if ["Stack::pace", "paced gate"].contains(&line.name.as_str()) { 4 } else { 2 },
            );
            let drawn = chart.draw_series(LineSeries::new(line.points.iter().copied(), style));
            drawn
                .expect("it fits")
                .label(line.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        if has_legend {
            let mut legend = chart.configure_series_labels();
            legend.position(SeriesLabelPosition::UpperLeft).label_font(text(14));
            legend.border_style(TRANSPARENT).background_style(TRANSPARENT).draw().expect("it fits");
        }
    }
}

fn mesh(chart: &mut ChartContext<'_, SVGBackend<'_>, Flat>, x: &str, y: &str) {
    let mut mesh = chart.configure_mesh();
    mesh.axis_style(GREY).bold_line_style(GREY.mix(0.25)).light_line_style(TRANSPARENT);
    mesh.label_style(text(13)).axis_desc_style(text(14)).x_desc(x).y_desc(y);
    mesh.x_label_formatter(&|x| format!("{x:.0}"));
    mesh.y_label_formatter(&|y| format!("{y}"));
    mesh.draw().expect("it fits");
}

/// What strategies add, by failure rate.
pub fn amplification(rows: &failures::Rows) -> String {
    let lines: Vec<_> = rows
        .iter()
        // The long waits add what the short ones do.
        .filter(|(strategy, _)| !["no retry", "3 attempts, long jitter"].contains(&strategy.name))
        .map(|(strategy, counts)| {
            let colour = colour(strategy.name);
            let points = GRID_RATES.iter().zip(counts).map(|(rate, it)| (100.0 * rate, it.load()));
            let points = [(0.0, 1.0)].into_iter().chain(points).collect();
            Line { name: strategy.name.to_owned(), colour, points }
        })
        .collect();
    let panel = Panel {
        title: "What retries add to a server that fails",
        x: ("attempts that fail (%)", 0.0, 100.0),
        y: ("attempts for each call", 1.0, 4.0),
    };
    svg(760, 460, |area| panel.draw(area, &lines, true))
}

/// Successes in each second of the spike and of the ramp.
#[allow(clippy::cast_precision_loss, reason = "there are eighty seconds")]
pub fn goodput(rows: &collapse::Rows) -> String {
    let shown = ["no retry", "3 attempts", "3 tries, long jitter", "AWS standard", "Stack::pace"];
    let titles = ["A spike of 5 s", "A ramp up and down"];
    svg(1040, 440, |area| {
        for (at, area) in area.split_evenly((1, 2)).into_iter().enumerate() {
            let load = [Load::Spike, Load::Ramp][at];
            let arrives =
                (0..80).map(|second| (f64::from(second), load.rate(f64::from(second)).max(0.0)));
            let mut lines =
                vec![Line { name: "requests".into(), colour: GREY, points: arrives.collect() }];
            for name in shown {
                let row = rows.iter().find(|(strategy, _)| strategy.name == name);
                let successes = row.expect("it is in the table").1[at].successes;
                let points =
                    successes.iter().enumerate().map(|(at, it)| (at as f64, *it)).collect();
                lines.push(Line { name: name.into(), colour: colour(name), points });
            }
            let panel = Panel {
                title: titles[at],
                x: ("time (s)", 0.0, 80.0),
                y: ("successes a second", 0.0, 110.0),
            };
            panel.draw(&area, &lines, at == 0);
        }
    })
}

/// The median and the middle four fifths of the waits of the default policy.
pub fn waits() -> String {
    const RETRIES: u32 = 10;
    let kinds = [
        ("none", Jitter::None),
        ("full", Jitter::Full),
        ("equal", Jitter::Equal),
        ("decorrelated", Jitter::Decorrelated),
        ("proportional, 20 %", Jitter::Proportional(Ratio::percent(20).expect("a share"))),
        ("rising", Jitter::Rising),
    ];
    let backoff = Policy::default().backoff();
    let drawn = |jitter: Jitter| {
        live(1, async move {
            let mut waits = vec![Vec::new(); RETRIES as usize];
            for _ in 0..4000 {
                let mut previous = Duration::ZERO;
                for retry in 1..=RETRIES {
                    let number = NonZeroU32::new(retry).expect("from one");
                    let Some(wait) = jitter.delay(backoff, number, previous, fastrand::u32(..))
                    else {
                        break;
                    };
                    waits[retry as usize - 1].push(wait.as_secs_f64());
                    previous = wait;
                }
            }
            for waits in &mut waits {
                waits.sort_by(f64::total_cmp);
            }
            waits
        })
    };
    svg(900, 460, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("Waits of each jitter: the median, and four of five", text(17))
            .margin(12)
            .margin_right(30)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(0.5..f64::from(RETRIES) + 0.5, (0.001..40.0_f64).log_scale())
            .expect("it fits");
        let mut mesh = chart.configure_mesh();
        mesh.axis_style(GREY).bold_line_style(GREY.mix(0.25)).light_line_style(TRANSPARENT);
        mesh.label_style(text(13)).axis_desc_style(text(14)).x_labels(RETRIES as usize);
        mesh.x_label_formatter(&|x| format!("{x:.0}")).x_desc("retry").y_desc("wait (s)");
        mesh.draw().expect("it fits");
        for (at, (name, jitter)) in (0_u32..).zip(kinds) {
            let colour = COLOURS[[0, 8, 7, 1, 2, 3][at as usize]];
            let waits = drawn(jitter);
            let bars = (1_u32..).zip(&waits).filter(|(_, waits)| !waits.is_empty()).flat_map(
                |(retry, waits)| {
                    let x = f64::from(retry) + 0.11 * (f64::from(at) - 2.5);
                    let [low, middle, high] =
                        [1, 5, 9].map(|tenth| waits[(waits.len() - 1) * tenth / 10].max(0.001));
                    let bar =
                        PathElement::new([(x, low), (x, high)], colour.stroke_width(5)).into_dyn();
                    [bar, Circle::new((x, middle), 4, colour.filled()).into_dyn()]
                },
            );
            let series = chart.draw_series(bars).expect("it fits").label(name);
            series.legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(5))
            });
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::LowerRight).label_font(text(14));
        legend.border_style(TRANSPARENT).background_style(TRANSPARENT).draw().expect("it fits");
    })
}

/// What reaches a server that takes 100 requests a second, ten at once.
pub fn gate() -> String {
    let limit = Limit::Bucket(100.0, 10.0);
    let ways = [
        ("each on its own", Waiting::OnItsOwn, COLOURS[1]),
        ("paced gate", Waiting::Paced, COLOURS[8]),
    ];
    let mut lines: Vec<_> = ways
        .into_iter()
        .map(|(name, waiting, colour)| {
            let seconds = limits::run(limit, waiting, 100, 1).seconds;
            let points =
                (0_u32..120).zip(seconds).map(|(at, count)| (f64::from(at), f64::from(count)));
            Line { name: name.to_owned(), colour, points: points.collect() }
        })
        .collect();
    let served = vec![(0.0, 100.0), (120.0, 100.0)];
    lines.push(Line { name: "what the server takes".into(), colour: GREY, points: served });
    let panel = Panel {
        title: "A thousand clients of a server that takes 100 requests a second",
        x: ("time (s)", 0.0, 120.0),
        y: ("requests a second that reach it", 0.0, 1100.0),
    };
    svg(760, 420, |area| panel.draw(area, &lines, true))
}
