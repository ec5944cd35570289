//! What operations cost as something grows: a table and a chart of points that
//! `scripts/bench-growth.sh` has measured, and the small files of its folders.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use serde::Deserialize;

use crate::fresh::Bytes;
use crate::report::median;

/// How much more an operation may cost at the end of a curve than at its beginning.
const BAR: f64 = 1.3;
/// Files of a folder.
const FOLDER_FILES: u64 = 1000;
/// What is timed at once, and how often: the batch in the middle counts.
const BATCH: usize = 200;
const BATCHES: usize = 10;
const PANEL: (u32, u32) = (480, 320);

/// One measurement.
#[derive(Clone, PartialEq, Debug, Deserialize)]
struct Point {
    /// What is measured.
    curve: String,
    /// What grows.
    of: String,
    /// How much of it there is.
    at: f64,
    /// What the operation costs, in `unit`.
    value: f64,
    unit: String,
    /// What the same cost on a plain file at that moment.
    disk: Option<f64>,
}

impl Point {
    /// In multiples of the disk's own, where that is known.
    fn cost(&self) -> f64 {
        self.value / self.disk.unwrap_or(1.0)
    }
}

/// Points of one curve, in the order in which they were taken.
struct Curve<'a> {
    name: &'a str,
    of: &'a str,
    points: Vec<&'a Point>,
}

impl Curve<'_> {
    /// Costs in multiples of the first one.
    fn relative(&self) -> Vec<f64> {
        let first = self.points[0].cost();
        self.points
            .iter()
            .map(|point| point.cost() / first)
            .collect()
    }

    fn most(&self) -> f64 {
        self.relative().into_iter().fold(1.0, f64::max)
    }

    fn row(&self) -> String {
        let points = self.points.iter().map(|point| {
            let disk = point
                .disk
                .map_or(String::new(), |disk| format!(" ({disk:.0})"));
            format!("{}: {:.0}{disk}", point.at, point.value)
        });
        let points: Vec<String> = points.collect();
        let most = self.most();
        let mark = if most > BAR { "**" } else { "" };
        format!(
            "| {} | {} | {} | {} | {mark}{most:.2}{mark} |\n",
            self.name,
            self.of,
            self.points[0].unit,
            points.join(", ")
        )
    }
}

fn curves(points: &[Point]) -> Vec<Curve<'_>> {
    let mut curves: Vec<Curve> = Vec::new();
    for point in points {
        let of = |curve: &&mut Curve| curve.name == point.curve && curve.of == point.of;
        match curves.iter_mut().find(of) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve {
                name: &point.curve,
                of: &point.of,
                points: vec![point],
            }),
        }
    }
    curves
}

/// Draws the curves of a file of measurements, one JSON object a line, and tells them as a table in
/// Markdown; what has risen by more than the bar is marked.
///
/// # Errors
/// The file is not what it should be, or the chart cannot be written.
pub fn tell(measured: &Path, chart: &Path) -> Result<String> {
    let text = fs::read_to_string(measured).context("the measurements")?;
    let points: Vec<Point> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let curves = curves(&points);
    draw(&curves, chart)?;
    let mut table = "| cost of | as there are more | unit | how many: cost (the disk's own) | most beside the first |\n\
                     |---|---|---|---|---:|\n"
        .to_owned();
    curves.iter().for_each(|curve| table.push_str(&curve.row()));
    Ok(table)
}

/// A panel for each thing that grows.
fn draw(curves: &[Curve], path: &Path) -> Result<()> {
    let mut grown: Vec<&str> = curves.iter().map(|curve| curve.of).collect();
    grown.dedup();
    let rows = (grown.len() as u32).div_ceil(2).max(1);
    let drawing = SVGBackend::new(path, (2 * PANEL.0, rows * PANEL.1)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("the chart: {error}");
    drawing.fill(&WHITE).map_err(|error| failed(&error))?;
    let panels = drawing.split_evenly((rows as usize, 2));
    for (of, panel) in grown.iter().zip(&panels) {
        let shown: Vec<&Curve> = curves.iter().filter(|curve| curve.of == *of).collect();
        let steps = shown.iter().map(|curve| curve.points.len()).max();
        let steps = steps.unwrap_or(1).max(2) - 1;
        let most = shown.iter().map(|curve| curve.most()).fold(1.5, f64::max);
        let mut chart = ChartBuilder::on(panel)
            .caption(
                format!("cost beside the first point, by {of}"),
                ("sans-serif", 14),
            )
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(32)
            .build_cartesian_2d(0.0..steps as f64, 0.0..most * 1.1)
            .map_err(|error| failed(&error))?;
        let label = |step: &f64| {
            let curve = shown.first();
            let point = curve.and_then(|curve| curve.points.get(step.round() as usize));
            point.map_or(String::new(), |point| point.at.to_string())
        };
        let mut mesh = chart.configure_mesh();
        mesh.x_labels(steps + 1).x_label_formatter(&label);
        mesh.draw().map_err(|error| failed(&error))?;
        let bar = LineSeries::new([(0.0, BAR), (steps as f64, BAR)], BLACK.mix(0.4));
        chart.draw_series(bar).map_err(|error| failed(&error))?;
        for (number, curve) in shown.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let costs = curve.relative().into_iter().enumerate();
            let line = costs.map(|(step, cost)| (step as f64, cost));
            chart
                .draw_series(LineSeries::new(line, color.stroke_width(2)))
                .map_err(|error| failed(&error))?
                .label(curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 12, y)], color));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperLeft);
        legend
            .background_style(WHITE.mix(0.8))
            .label_font(("sans-serif", 11));
        legend.draw().map_err(|error| failed(&error))?;
    }
    drawing.present().map_err(|error| failed(&error))
}

/// The place of a file: a thousand share a folder.
fn place(folder: &Path, number: u64) -> PathBuf {
    let parent = folder.join(format!("folder-{}", number / FOLDER_FILES));
    parent.join(format!("file-{number}"))
}

/// Makes empty files from the number `before` on, until there are `count`.
///
/// # Errors
/// One cannot be made.
pub fn fill_folder(folder: &Path, before: u64, count: u64) -> io::Result<()> {
    for number in before..count {
        let file = place(folder, number);
        if number % FOLDER_FILES == 0 {
            fs::create_dir_all(file.parent().unwrap_or(folder))?;
        }
        File::create(file)?;
    }
    Ok(())
}

/// Something that is done to the file with this number among those that are timed.
type Call<'a> = &'a dyn Fn(usize) -> io::Result<()>;

/// What calls on files cost among `count` that [`fill_folder`] has made, as lines of a name and of
/// microseconds: looked up first, then others are created beside them, renamed and removed.
///
/// # Errors
/// A call fails.
pub fn time_folder(folder: &Path, count: u64) -> Result<String> {
    let mut bytes = Bytes::of(count);
    let numbers: Vec<u64> = (0..BATCH * BATCHES)
        .map(|_| bytes.number() % count)
        .collect();
    let beside = |name: &str, at: usize| {
        let file = place(folder, numbers[at]);
        file.with_file_name(format!("{name}-{at}"))
    };
    let calls: [(&str, Call); 5] = [
        ("cold look-up", &|at| {
            fs::metadata(place(folder, numbers[at])).map(drop)
        }),
        ("create", &|at| File::create(beside("new", at)).map(drop)),
        ("stat", &|at| fs::metadata(beside("new", at)).map(drop)),
        ("rename", &|at| {
            fs::rename(beside("new", at), beside("renamed", at))
        }),
        ("unlink", &|at| fs::remove_file(beside("renamed", at))),
    ];
    let mut text = String::new();
    for (name, call) in calls {
        let mut times = Vec::new();
        for batch in 0..BATCHES {
            let start = Instant::now();
            (batch * BATCH..(batch + 1) * BATCH).try_for_each(call)?;
            times.push(start.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
        }
        let middle = median(times).context("a batch")?;
        text.push_str(&format!("{name},{middle:.1}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs are told beside the disk's, and what rises too far is marked.
    #[test]
    fn curves_are_told_and_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let (measured, chart) = (folder.path().join("json"), folder.path().join("svg"));
        let point = |curve: &str, at: u32, value: f64, disk: &str| {
            format!(
                "{{\"curve\": \"{curve}\", \"of\": \"GiB\", \"at\": {at}, \"value\": {value}, \
                 \"unit\": \"us\", \"disk\": {disk}}}\n"
            )
        };
        let lines = [
            point("overwrite", 1, 100.0, "50"),
            point("open", 1, 10.0, "null"),
            point("overwrite", 2, 240.0, "100"),
            point("open", 2, 14.0, "null"),
        ];
        fs::write(&measured, lines.concat()).unwrap();
        let table = tell(&measured, &chart).unwrap();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| overwrite | GiB | us | 1: 100 (50), 2: 240 (100) | 1.20 |",
                "| open | GiB | us | 1: 10, 2: 14 | **1.40** |"
            ]
        );
        let svg = fs::read_to_string(chart).unwrap();
        for part in ["overwrite", "open", "by GiB"] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
    }

    /// All calls are made among the files, and these stay.
    #[test]
    fn calls_on_files_are_timed() {
        let folder = tempfile::tempdir().unwrap();
        fill_folder(folder.path(), 0, 1500).unwrap();
        let told = time_folder(folder.path(), 1500).unwrap();
        let names: Vec<&str> = told
            .lines()
            .map(|line| line.split_once(",").unwrap().0)
            .collect();
        assert_eq!(
            names,
            ["cold look-up", "create", "stat", "rename", "unlink"]
        );
        let left = |number: u32| {
            let folder = folder.path().join(format!("folder-{number}"));
            folder.read_dir().unwrap().count()
        };
        assert_eq!((left(0), left(1)), (1000, 500));
    }
}
