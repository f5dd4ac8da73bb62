use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Door;

/// A PostgreSQL that answers statements as it is told to, by what they contain; others succeed without a row.
///
/// It knows as much of the protocol (version 3.0) as a driver needs that sends statements with their parameters, or
/// several statements at once, and as much of transactions as makes a failed one fail to its end.
#[derive(Debug)]
pub struct FakePostgres {
    told: Arc<Mutex<Told>>,
    door: Door,
}

/// How a COMMIT of what may have written is named to [`FakePostgres::always`].
pub const WRITE_COMMIT: &str = "COMMIT of a write";
/// How one of what read alone is.
pub const READ_COMMIT: &str = "COMMIT of a read";

/// What a statement is answered with.
#[derive(Clone, Debug)]
pub enum Says {
    /// Success, with these rows. Their values give the columns' types; statements sent as mere text are answered in text,
    /// so theirs are texts.
    Rows(Vec<Vec<Value>>),
    /// An error. A fatal one ends the connection.
    Error(Fault),
    /// A row with one value less than there are columns.
    ShortRow,
    /// The end of the connection, without a word.
    HangUp,
    /// Nothing, for as long as the client waits.
    Silence,
}

/// How a connection begins.
#[derive(Clone, Debug)]
pub enum Greeting {
    /// Everybody is welcome.
    Welcome,
    /// It is refused.
    Refuse(Fault),
    /// A password is asked for by SCRAM-SHA-256 with so many iterations; whatever it is, it is wrong.
    Scram {
        /// How often the client is to hash.
        iterations: u32,
    },
}

/// An error of the server.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its SQLSTATE.
    pub code: String,
    /// Whether the connection ends with it.
    pub is_fatal: bool,
}

/// A value in a row.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the type of PostgreSQL by that name")]
pub enum Value {
    Null,
    Bool(bool),
    Int4(i32),
    Int8(i64),
    Text(String),
    Bytea(Vec<u8>),
}

#[derive(Debug)]
struct Told {
    greeting: Greeting,
    rules: Vec<Rule>,
    asked: Vec<String>,
    proofs: usize,
}

#[derive(Debug)]
struct Rule {
    contains: String,
    says: Says,
    /// How often it still applies; without a number: always.
    left: Option<usize>,
}

impl Fault {
    /// One that the connection outlives.
    pub fn error(code: &str) -> Self {
        Self { code: code.to_owned(), is_fatal: false }
    }

    /// One that it does not.
    pub fn fatal(code: &str) -> Self {
        Self { code: code.to_owned(), is_fatal: true }
    }
}

impl FakePostgres {
    /// Starts one that welcomes everybody.
    pub fn start() -> Self {
        let told = Told { greeting: Greeting::Welcome, rules: Vec::new(), asked: Vec::new(), proofs: 0 };
        let told = Arc::new(Mutex::new(told));
        let serving = told.clone();
        // However a connection ends, its client sees it.
        Self { told, door: Door::open(move |stream| drop(Session::new(&serving, stream).and_then(Session::serve))) }
    }

    /// Its URL, by the loopback, with a password.
    pub fn url(&self) -> String {
        format!("postgres://app:secret@{}/app?sslmode=disable", self.door.address)
    }

    /// How connections begin from now on.
    pub fn greet(&self, greeting: Greeting) {
        lock(&self.told).greeting = greeting;
    }

    /// Answers every statement that contains `contains`. What was told last comes first.
    ///
    /// A COMMIT is looked at as [`WRITE_COMMIT`], or if its transaction began as `READ ONLY` as [`READ_COMMIT`].
    pub fn always(&self, contains: &str, says: Says) {
        self.tell(contains, says, None);
    }

    /// Answers the next so many of them.
    pub fn for_times(&self, times: usize, contains: &str, says: Says) {
        self.tell(contains, says, Some(times));
    }

    /// Forgets what [`for_times`](Self::for_times) still holds, and what was asked.
    pub fn reset(&self) {
        let mut told = lock(&self.told);
        told.rules.retain(|rule| rule.left.is_none());
        told.asked.clear();
    }

    /// How many statements came that contain `contains`.
    pub fn asked(&self, contains: &str) -> usize {
        lock(&self.told).asked.iter().filter(|sql| sql.contains(contains)).count()
    }

    /// How often a client proved by SCRAM that it knows a password: it hashed as often as it was told to.
    pub fn proofs(&self) -> usize {
        lock(&self.told).proofs
    }

    fn tell(&self, contains: &str, says: Says, left: Option<usize>) {
        lock(&self.told).rules.push(Rule { contains: contains.to_owned(), says, left });
    }
}

impl Told {
    fn answer(&mut self, sql: &str) -> Says {
        self.asked.push(sql.to_owned());
        let meant = |rule: &&mut Rule| rule.left != Some(0) && sql.contains(&rule.contains);
        let Some(rule) = self.rules.iter_mut().rev().find(meant) else { return Says::Rows(Vec::new()) };
        rule.left = rule.left.map(|left| left - 1);
        rule.says.clone()
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL_3: u32 = 196_608;
const FAILED_TRANSACTION: &str = "25P02";

/// One connection. Its methods fail when it is over.
struct Session {
    told: Arc<Mutex<Told>>,
    from: BufReader<TcpStream>,
    to: TcpStream,
    /// As the protocol tells it: `I`, in a transaction `T`, in a failed one `E`.
    state: u8,
    /// How its COMMIT is named.
    commit: &'static str,
    /// What the statement that was parsed is answered with.
    answer: Says,
    tag: String,
    /// After an error, until the client says that it has heard of it.
    is_skipping: bool,
}

impl Session {
    fn new(told: &Arc<Mutex<Told>>, to: TcpStream) -> io::Result<Self> {
        let (from, answer) = (BufReader::new(to.try_clone()?), Says::Rows(Vec::new()));
        Ok(Self {
            told: told.clone(),
            from,
            to,
            state: b'I',
            commit: WRITE_COMMIT,
            answer,
            tag: String::new(),
            is_skipping: false,
        })
    }

    fn serve(mut self) -> io::Result<()> {
        self.greet()?;
        loop {
            let kind = self.octet()?;
            let body = self.body()?;
            match kind {
                b'X' => return Ok(()),
                b'Q' => {
                    self.decide(text(&body))?;
                    if !self.is_skipping {
                        if matches!(&self.answer, Says::Rows(rows) if !rows.is_empty()) {
                            self.describe()?;
                        }
                        self.execute()?;
                    }
                    self.ready()?;
                }
                b'S' => self.ready()?,
                _ if self.is_skipping => {}
                b'P' => {
                    let name = text(&body).len() + 1;
                    self.decide(text(&body[name..]))?;
                    if !self.is_skipping {
                        self.send(b'1', &[])?;
                    }
                }
                b'B' => self.send(b'2', &[])?,
                b'D' => self.describe()?,
                b'E' => self.execute()?,
                _ => {}
            }
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        let mut hello = self.body()?;
        if code(&hello) == SSL_REQUEST {
            self.to.write_all(b"N")?;
            hello = self.body()?;
        }
        if code(&hello) != PROTOCOL_3 {
            return Err(over());
        }
        let greeting = lock(&self.told).greeting.clone();
        match greeting {
            Greeting::Welcome => {}
            Greeting::Refuse(fault) => return self.error(&Fault { is_fatal: true, ..fault }),
            Greeting::Scram { iterations } => return self.ask_for_proof(iterations),
        }
        self.send(b'R', &0_u32.to_be_bytes())?;
        self.send(b'S', b"client_encoding\0UTF8\0")?;
        self.send(b'K', &[0; 8])?;
        self.ready()
    }

    fn ask_for_proof(&mut self, iterations: u32) -> io::Result<()> {
        self.send(b'R', &[&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat())?;
        let _kind = self.octet()?;
        let first = self.body()?;
        let first = String::from_utf8_lossy(&first).into_owned();
        let nonce = first.rsplit("r=").next().unwrap_or_default();
        let challenge = format!("r={nonce}ours,s=c2FsdGVkLXdlbGw=,i={iterations}");
        self.send(b'R', &[&11_u32.to_be_bytes()[..], challenge.as_bytes()].concat())?;
        let _kind = self.octet()?;
        self.body()?;
        lock(&self.told).proofs += 1;
        self.error(&Fault::fatal("28P01"))
    }

    /// What this statement will be answered with. An error is told at once.
    fn decide(&mut self, sql: &str) -> io::Result<()> {
        let first = sql.split_whitespace().next().unwrap_or_default().to_owned();
        if first == "BEGIN" {
            self.commit = if sql.contains("READ ONLY") { READ_COMMIT } else { WRITE_COMMIT };
        }
        let said = lock(&self.told).answer(if first == "COMMIT" { self.commit } else { sql });
        let ends = first == "COMMIT" || first == "ROLLBACK";
        self.answer = match said {
            Says::HangUp => return Err(over()),
            Says::Silence => {
                io::copy(&mut self.from, &mut io::sink())?;
                return Err(over());
            }
            Says::Rows(_) | Says::ShortRow if self.state == b'E' && !ends => {
                Says::Error(Fault::error(FAILED_TRANSACTION))
            }
            said => said,
        };
        self.tag = if self.state == b'E' && ends { "ROLLBACK".to_owned() } else { first };
        if ends {
            // Whether it succeeds or not.
            self.state = b'I';
        }
        if let Says::Error(fault) = &self.answer {
            let fault = fault.clone();
            return self.error(&fault);
        }
        if self.tag == "BEGIN" {
            self.state = b'T';
        }
        Ok(())
    }

    fn describe(&mut self) -> io::Result<()> {
        let columns: Vec<u32> = match &self.answer {
            Says::Rows(rows) if rows.is_empty() => return self.send(b'n', &[]),
            Says::Rows(rows) => rows[0].iter().map(Value::kind).collect(),
            _ => vec![Value::Int8(0).kind(); 2],
        };
        let mut body = number(columns.len());
        for kind in columns {
            body.extend(b"column\0");
            // Of no table.
            body.extend([0; 6]);
            body.extend(kind.to_be_bytes());
            // Of any size, without a modifier, in binary.
            body.extend((-1_i16).to_be_bytes());
            body.extend((-1_i32).to_be_bytes());
            body.extend(1_i16.to_be_bytes());
        }
        self.send(b'T', &body)
    }

    fn execute(&mut self) -> io::Result<()> {
        let rows = match &self.answer {
            Says::Rows(rows) => rows.clone(),
            _ => vec![vec![Value::Int8(1)]],
        };
        for row in rows {
            let mut body = number(row.len());
            for value in row {
                match value.bytes() {
                    None => body.extend((-1_i32).to_be_bytes()),
                    Some(bytes) => {
                        body.extend(u32::try_from(bytes.len()).expect("a short value").to_be_bytes());
                        body.extend(bytes);
                    }
                }
            }
            self.send(b'D', &body)?;
        }
        self.complete()
    }

    fn complete(&mut self) -> io::Result<()> {
        // A count belongs to it for statements that have one; a driver reads it if it is there.
        let tag = if self.tag == "SELECT" { "SELECT 0\0".to_owned() } else { format!("{}\0", self.tag) };
        self.send(b'C', tag.as_bytes())
    }

    fn error(&mut self, fault: &Fault) -> io::Result<()> {
        let severity = if fault.is_fatal { "FATAL" } else { "ERROR" };
        let body = format!("S{severity}\0V{severity}\0C{}\0Mmade up\0\0", fault.code);
        self.send(b'E', body.as_bytes())?;
        self.is_skipping = true;
        if self.state != b'I' {
            self.state = b'E';
        }
        if !fault.is_fatal {
            return Ok(());
        }
        // Closing while requests are on their way would be a reset, at which the client may lose the error.
        self.to.shutdown(Shutdown::Write)?;
        io::copy(&mut self.from, &mut io::sink())?;
        Err(over())
    }

    fn ready(&mut self) -> io::Result<()> {
        self.is_skipping = false;
        self.send(b'Z', &[self.state])
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).expect("a short message");
        self.to.write_all(&[&[kind][..], &length.to_be_bytes(), body].concat())
    }

    fn octet(&mut self) -> io::Result<u8> {
        let mut octet = [0];
        self.from.read_exact(&mut octet)?;
        Ok(octet[0])
    }

    fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.from.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).expect("a length");
        let mut body = vec![0; length.saturating_sub(4)];
        self.from.read_exact(&mut body)?;
        Ok(body)
    }
}

impl Value {
    /// Its type's number in the catalogue.
    fn kind(&self) -> u32 {
        match self {
            Self::Bool(_) => 16,
            // Absent: of whatever type, and bytes are one.
            Self::Bytea(_) | Self::Null => 17,
            Self::Int8(_) => 20,
            Self::Int4(_) => 23,
            Self::Text(_) => 25,
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(is) => vec![u8::from(*is)],
            Self::Bytea(bytes) => bytes.clone(),
            Self::Int8(number) => number.to_be_bytes().into(),
            Self::Int4(number) => number.to_be_bytes().into(),
            Self::Text(text) => text.clone().into_bytes(),
        })
    }
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).unwrap_or_default()
}

fn code(hello: &[u8]) -> u32 {
    hello.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn number(count: usize) -> Vec<u8> {
    u16::try_from(count).expect("few columns").to_be_bytes().into()
}

fn over() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
