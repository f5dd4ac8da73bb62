//! Why the wire gate refuses.

use std::error::Error;
use std::fmt;

use crate::gateway::gate::Refusal;

macro_rules! violations {
    ($($(#[$doc:meta])* $name:ident = $code:literal => $refusal:ident,)*) => {
        /// Why bytes on an HTTP/1 connection were refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum WireViolation {
            $($(#[$doc])* $name,)*
        }

        impl WireViolation {
            /// Every violation, for metrics and documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable reason code for the log and the metrics; never shown to the client.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the client is told, when there still is a response to give.
            pub const fn refusal(self) -> Refusal {
                match self { $(Self::$name => Refusal::$refusal,)* }
            }
        }
    };
}

violations! {
    /// The first byte cannot begin a method: TLS on a plain port, or another protocol.
    NotHttp = "not_http" => BadRequest,
    /// An empty line where a request should begin. RFC 9112 section 2.2 would skip it; behind a body it is a sign of a wrong length.
    EmptyLine = "empty_line" => BadRequest,
    /// A line end without CR (RFC 9112 section 2.2 lets a server accept it; readers that do not then see other requests).
    BareLf = "bare_lf" => BadRequest,
    /// A CR that ends no line (P9).
    BareCr = "bare_cr" => BadRequest,
    /// NUL or another control byte.
    ControlByte = "control_byte" => BadRequest,
    /// Not exactly `method SP target SP version`, HTTP/0.9 included.
    RequestLine = "request_line" => BadRequest,
    /// A method that is not made of capital letters and `-`.
    Method = "method" => BadRequest,
    /// `CONNECT`, `TRACE`, `TRACK` (P12).
    MethodRefused = "method_refused" => MethodNotAllowed,
    /// A target that is neither a path, nor an http(s) URL with a path, nor `*` of `OPTIONS`, or holds a byte no URL holds.
    Target = "target" => BadRequest,
    /// `#` in a target, which the library would drop silently (P17).
    Fragment = "fragment" => BadRequest,
    /// An absolute-form target for another authority than Host (P10). RFC 9112 section 3.2.2 lets the target win; a guard has one host.
    TargetAuthority = "target_authority" => BadRequest,
    /// A version other than 1.0 and 1.1.
    Version = "version" => VersionNotSupported,
    /// The HTTP/2 preface on an HTTP/1 connection.
    Http2Preface = "http2_preface" => VersionNotSupported,
    /// No line end within the head limit, counted from the request line.
    TargetTooLong = "target_too_long" => UriTooLong,
    /// More head bytes than the limit.
    HeadTooLarge = "head_too_large" => HeadTooLarge,
    /// More fields than the limit.
    TooManyFields = "too_many_fields" => HeadTooLarge,
    /// A field without a colon, or with a name that is not a token.
    FieldName = "field_name" => BadRequest,
    /// White space between name and colon (P7).
    SpaceBeforeColon = "space_before_colon" => BadRequest,
    /// A line that begins with white space: obs-fold (P8), or the same trick behind the request line.
    ObsFold = "obs_fold" => BadRequest,
    /// `Content_Length` and the like (P14).
    FramingAlias = "framing_alias" => BadRequest,
    /// No Host (P10).
    HostMissing = "host_missing" => BadRequest,
    /// More than one Host.
    HostRepeated = "host_repeated" => BadRequest,
    /// A Host that is not a plain host with an optional port.
    HostInvalid = "host_invalid" => BadRequest,
    /// A Content-Length that is not a plain decimal number below 2^63 (P4).
    ContentLength = "content_length" => BadRequest,
    /// More than one Content-Length, equal or not.
    ContentLengthRepeated = "content_length_repeated" => BadRequest,
    /// A Transfer-Encoding that is not exactly `chunked` (P5).
    TransferEncoding = "transfer_encoding" => BadRequest,
    /// A well-formed list of registered transfer codings that ends in `chunked`: not wrong, but not understood (RFC 9112 section 6.1).
    TransferCoding = "transfer_coding" => NotImplemented,
    /// More than one Transfer-Encoding.
    TransferEncodingRepeated = "transfer_encoding_repeated" => BadRequest,
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1: treat as faulty framing).
    TransferEncodingHttp10 = "transfer_encoding_http10" => BadRequest,
    /// Transfer-Encoding and Content-Length (P3): refused, not repaired.
    LengthAndChunked = "length_and_chunked" => BadRequest,
    /// A chunk size that is not 1 to 16 hexadecimal digits below 2^63, or is followed by anything but `;` or CRLF (P6).
    ChunkSize = "chunk_size" => BadRequest,
    /// A chunk extension beyond the limits, or with a control byte in it.
    ChunkExtension = "chunk_extension" => BadRequest,
    /// A chunk whose data is not followed by CRLF: the size was wrong.
    ChunkEnd = "chunk_end" => BadRequest,
    /// A trailer section beyond the limits.
    TrailersTooLarge = "trailers_too_large" => HeadTooLarge,
    /// A trailer field that frames, routes or authenticates (RFC 9110 section 6.5.1).
    TrailerField = "trailer_field" => BadRequest,
}

impl WireViolation {
    /// Finds the violation behind an error of a request body, so that the service can answer 400 instead of blaming the upstream.
    pub fn in_error(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(violation) = error.downcast_ref::<Self>() {
                return Some(*violation);
            }
            // An io::Error hides what it wraps from `source`.
            if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
                && let Some(violation) = inner.downcast_ref::<Self>()
            {
                return Some(*violation);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for WireViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Error for WireViolation {}
