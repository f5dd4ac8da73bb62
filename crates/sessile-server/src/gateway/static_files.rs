//! Files of a folder.
//!
//! A path is decoded once; a segment that begins with a dot is nobody's business (`.well-known` excepted); what the file system says
//! the file is must lie inside the folder, so a symbolic link leads nowhere else. There are no directory listings, and no ranges:
//! `Range` is ignored, which RFC 9110 section 14.2 allows.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{Method, header};
use http_body::{Body, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

const PIECE: usize = 64 * 1024;
const INDEX: &str = "index.html";

/// A folder whose files are served.
#[derive(Debug)]
pub struct Folder {
    /// Canonical, so that a prefix of a canonical path means inside.
    root: PathBuf,
    spa: bool,
}

/// What a request for a file comes to.
#[derive(Debug)]
pub enum FileAnswer {
    /// The file; `None` to a `HEAD`.
    File(HeaderMap, Option<FileBody>),
    /// The client has it.
    NotModified(HeaderMap),
    /// A folder asked for without its slash: the path with it.
    Elsewhere(String),
    /// No such file, as far as clients may know.
    NotFound,
    /// Files are only read.
    MethodNotAllowed,
    /// The file system failed.
    Fault(io::Error),
}

impl Folder {
    /// Takes a folder.
    ///
    /// # Errors
    ///
    /// If it is not there; what and where, for the operator.
    pub fn open(root: &Path, spa: bool) -> Result<Self, String> {
        let canonical =
            root.canonicalize().map_err(|error| format!("the folder {} cannot be read: {error}", root.display()))?;
        if !canonical.is_dir() {
            return Err(format!("{} is not a folder", root.display()));
        }
        Ok(Self { root: canonical, spa })
    }

    /// Answers a request. `path` has passed the gate.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> FileAnswer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return FileAnswer::MethodNotAllowed;
        }
        let found = match self.locate(path).await {
            Ok(Located::Nothing) if self.spa && looks_like_a_page(path) => self.locate("/").await,
            found => found,
        };
        match found {
            Ok(Located::File(file)) => match describe(&file).await {
                Ok((length, fields)) => {
                    if headers.get_all(IF_NONE_MATCH).iter().any(|tags| matches_tag(tags, fields.get(ETAG))) {
                        return FileAnswer::NotModified(fields);
                    }
                    self.read(file, length, fields, *method == Method::HEAD).await
                }
                Err(error) => fault(error),
            },
            Ok(Located::Folder) => FileAnswer::Elsewhere(format!("{path}/")),
            Ok(Located::Nothing) => FileAnswer::NotFound,
            Err(error) => fault(error),
        }
    }

    async fn read(&self, file: PathBuf, length: u64, mut fields: HeaderMap, is_head: bool) -> FileAnswer {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if is_head {
            return FileAnswer::File(fields, None);
        }
        match File::open(&file).await {
            Ok(mut file) => {
                file.set_max_buf_size(PIECE);
                FileAnswer::File(fields, Some(FileBody { file, left: length, buffer: BytesMut::new() }))
            }
            Err(error) => fault(error),
        }
    }

    async fn locate(&self, path: &str) -> io::Result<Located> {
        let Some(relative) = relative(path) else { return Ok(Located::Nothing) };
        let wanted = self.root.join(&relative);
        let is_folder = path.ends_with('/');
        let wanted = if is_folder { wanted.join(INDEX) } else { wanted };
        let canonical = match tokio::fs::canonicalize(&wanted).await {
            Ok(canonical) => canonical,
            // ENOTDIR and ENAMETOOLONG are ways of not being there as well.
            Err(error) if is_absence(&error) => return Ok(Located::Nothing),
            Err(error) => return Err(error),
        };
        if !canonical.starts_with(&self.root) {
            return Ok(Located::Nothing);
        }
        let kind = tokio::fs::metadata(&canonical).await?;
        Ok(match (kind.is_file(), kind.is_dir()) {
            (true, _) => Located::File(canonical),
            (false, true) if !is_folder => Located::Folder,
            _ => Located::Nothing,
        })
    }
}

enum Located {
    File(PathBuf),
    Folder,
    Nothing,
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename)
}

fn fault(error: io::Error) -> FileAnswer {
    if is_absence(&error) { FileAnswer::NotFound } else { FileAnswer::Fault(error) }
}

/// The path below the root, or nothing if no file can be meant.
fn relative(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for segment in path.strip_prefix('/')?.trim_end_matches('/').split('/').filter(|segment| !segment.is_empty()) {
        let name = decoded(segment)?;
        let hidden = name.starts_with('.') && name != ".well-known";
        // The gate has refused encoded slashes and NUL; a file name with either could not be meant anyway.
        if hidden || name.contains(['/', '\\', '\0']) {
            return None;
        }
        relative.push(name);
    }
    Some(relative)
}

fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: u8| (b as char).to_digit(16);
            let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A path a single-page application may have a view for: anything without a file extension.
fn looks_like_a_page(path: &str) -> bool {
    path.rsplit('/').next().is_none_or(|last| !last.contains('.'))
}

async fn describe(file: &Path) -> io::Result<(u64, HeaderMap)> {
    let data = tokio::fs::metadata(file).await?;
    let modified = data.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file)));
    // Weak: it stands for length and time, not for the bytes.
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{:x}-{modified:x}\"", data.len())) {
        fields.insert(ETAG, tag);
    }
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok((data.len(), fields))
}

/// Weak comparison (RFC 9110 section 8.8.3.2) of one of our tags with a list.
fn matches_tag(list: &HeaderValue, ours: Option<&HeaderValue>) -> bool {
    let (Ok(list), Some(Ok(ours))) = (list.to_str(), ours.map(HeaderValue::to_str)) else { return false };
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|tag| opaque(tag) == opaque(ours))
}

fn content_type(file: &Path) -> &'static str {
    let extension = file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("xml") => "application/xml",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("avif") => "image/avif",
        Some("ico") => "image/x-icon",
        Some("woff") => "font/woff",
        Some("woff2") => "font/woff2",
        Some("ttf") => "font/ttf",
        Some("otf") => "font/otf",
        Some("wasm") => "application/wasm",
        Some("pdf") => "application/pdf",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("mp4") => "video/mp4",
        Some("webm") => "video/webm",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

/// A file's bytes, exactly as many as announced: a file that shrinks under us ends in an error, never in a short body.
#[derive(Debug)]
pub struct FileBody {
    file: File,
    left: u64,
    buffer: BytesMut,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(this.left).unwrap_or(PIECE).min(PIECE);
        this.buffer.resize(wanted, 0);
        let mut piece = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.left -= read as u64;
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(read).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
