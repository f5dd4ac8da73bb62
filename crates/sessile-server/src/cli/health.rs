//! `sessile health`: one question to the operations listener, so that a container image needs no other client.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Common, Failure, ServeArgs};
use crate::config::Purpose;
use crate::output::{Format, print, print_json};

const WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Ask whether the process lives rather than whether it is ready
    #[arg(long)]
    live: bool,
    /// Where the operations listener is [default: as configured]
    #[arg(long, value_name = "ADDR:PORT")]
    ops_listen: Option<String>,
}

pub(super) fn run(common: &Common, args: &HealthArgs, format: Format) -> Result<ExitCode, Failure> {
    let flags = ServeArgs { ops_listen: args.ops_listen.clone(), ..ServeArgs::default() };
    let listen = *common.load(&flags, Purpose::Data)?.settings.ops.listen;
    let path = if args.live { "/livez" } else { "/readyz" };
    let answer = ask(reachable(listen), path);
    let healthy = matches!(answer, Ok(200));
    match format {
        Format::Json => {
            print_json(&json!({ "healthy": healthy, "status": answer.as_ref().ok(), "error": answer.as_ref().err() }))?
        }
        Format::Human => match answer {
            Ok(200) => print(if args.live { "alive" } else { "ready" })?,
            Ok(status) => print(&format!("not ready: {listen} answered {status}"))?,
            Err(why) => print(&format!("no answer from {listen}: {why}"))?,
        },
    }
    // Container engines know 0 and 1.
    Ok(if healthy { ExitCode::SUCCESS } else { super::Exit::Failed.into() })
}

/// Where to reach what listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, path: &str) -> Result<u16, String> {
    let told = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect_timeout(&address, WITHIN).map_err(told)?;
    stream.set_read_timeout(Some(WITHIN)).map_err(told)?;
    stream.set_write_timeout(Some(WITHIN)).map_err(told)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(told)?;
    // "HTTP/1.1 200" is all that matters.
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(told)?;
    let status = std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1.1 "))
        .and_then(|code| code.parse().ok());
    status.ok_or_else(|| "that is no HTTP answer".to_owned())
}
