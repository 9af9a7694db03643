//! Rows on their way out of the database: a compressed CSV file that is on the disk, and read back, before they are dropped.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use plugin_api::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::StoreError;

/// The pieces that may wait for the disk.
const WAITING: usize = 16;

/// A file that is being written, `NAME.csv.zst.part`; it is an archive only once it is finished.
pub(super) struct Archive {
    pieces: mpsc::Sender<Bytes>,
    written: JoinHandle<io::Result<()>>,
    part: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Archive {
    pub(super) fn begin(folder: &Path, name: &str) -> Result<Self, StoreError> {
        let part = folder.join(format!("{name}.csv.zst.part"));
        // what an interrupted attempt left may have another mode
        let _ = fs::remove_file(&part);
        let begun = private_files::create_dir_all(folder)
            .and_then(|()| private_files::options().write(true).create(true).truncate(true).open(&part));
        let file = begun.map_err(|error| unwritable(&part, &error))?;
        let (pieces, waiting) = mpsc::channel(WAITING);
        let written = tokio::task::spawn_blocking(move || write(file, waiting));
        Ok(Self { pieces, written, part, folder: folder.into(), name: name.into() })
    }

    /// Takes the next piece of the CSV.
    pub(super) async fn write(&self, piece: Bytes) -> Result<(), io::Error> {
        let closed = |_| io::Error::other("the archive cannot be written");
        self.pieces.send(piece).await.map_err(closed)
    }

    /// Makes it an archive, once all is on the disk and reads back as so many rows. Never takes the place of another.
    pub(super) async fn finish(self, rows: u64) -> Result<PathBuf, StoreError> {
        let Self { pieces, written, part, folder, name } = self;
        drop(pieces);
        let path = part.clone();
        let finished = async {
            written.await.map_err(io::Error::other)??;
            tokio::task::spawn_blocking(move || {
                let found = records(&part)?.saturating_sub(1);
                if found != rows {
                    return Err(io::Error::other(format!("it has {found} rows and not {rows}")));
                }
                let free = (1..).map(|number| match number {
                    1 => folder.join(format!("{name}.csv.zst")),
                    number => folder.join(format!("{name}.{number}.csv.zst")),
                });
                let archive = free.into_iter().find(|path| !path.exists()).unwrap_or_else(|| part.clone());
                fs::rename(&part, &archive)?;
                File::open(&folder)?.sync_all()?;
                Ok(archive)
            })
            .await
            .map_err(io::Error::other)?
        };
        finished.await.map_err(|error: io::Error| unwritable(&path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("the archive {} cannot be written: {error}", path.display()))
}

/// Writes the pieces as they come, compressed, until there are no more and all of it is on the disk.
fn write(file: File, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(BufWriter::new(file), 3)?;
    encoder.include_checksum(true)?;
    while let Some(piece) = pieces.blocking_recv() {
        encoder.write_all(&piece)?;
    }
    encoder.finish()?.into_inner()?.sync_all()
}

/// The records of a compressed CSV file, its head among them. Its checksum is checked on the way.
fn records(path: &Path) -> io::Result<u64> {
    let mut text = zstd::Decoder::new(BufReader::new(File::open(path)?))?;
    let (mut records, mut quoted) = (0, false);
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = text.read(&mut piece)?;
        if length == 0 {
            return Ok(records);
        }
        for byte in &piece[..length] {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if !quoted => records += 1,
                _ => {}
            }
        }
    }
}
