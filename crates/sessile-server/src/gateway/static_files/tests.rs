use std::fs;

use http_body_util::BodyExt;

use super::*;

fn folder(spa: bool) -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("public");
    fs::create_dir_all(root.join("sub/.git")).unwrap();
    fs::create_dir_all(root.join(".well-known")).unwrap();
    fs::write(root.join("index.html"), "<p>home").unwrap();
    fs::write(root.join("a b.txt"), "blank").unwrap();
    fs::write(root.join("app.js"), "code").unwrap();
    fs::write(root.join("sub/index.html"), "<p>sub").unwrap();
    fs::write(root.join(".env"), "SECRET=1").unwrap();
    fs::write(root.join("sub/.git/config"), "SECRET=1").unwrap();
    fs::write(root.join(".well-known/security.txt"), "Contact: x").unwrap();
    fs::write(dir.path().join("outside.txt"), "SECRET=1").unwrap();
    std::os::unix::fs::symlink(dir.path().join("outside.txt"), root.join("link.txt")).unwrap();
    std::os::unix::fs::symlink(root.join("app.js"), root.join("inside.js")).unwrap();
    let folder = Folder::open(&root, spa).unwrap();
    (dir, folder)
}

async fn get(folder: &Folder, path: &str) -> String {
    match folder.answer(&Method::GET, path, &HeaderMap::new()).await {
        FileAnswer::File(_, Some(body)) => {
            String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
        }
        FileAnswer::File(_, None) => "no body".to_owned(),
        FileAnswer::NotModified(_) => "not modified".to_owned(),
        FileAnswer::Elsewhere(path) => format!("to {path}"),
        FileAnswer::NotFound => "not found".to_owned(),
        FileAnswer::MethodNotAllowed => "method".to_owned(),
        FileAnswer::Fault(error) => error.to_string(),
    }
}

#[tokio::test]
async fn files_folders_and_what_is_not_there() {
    let (_dir, folder) = folder(false);
    for (path, text) in [
        ("/", "<p>home"),
        ("/index.html", "<p>home"),
        ("/a%20b.txt", "blank"),
        ("/sub/", "<p>sub"),
        ("/sub", "to /sub/"),
        ("/inside.js", "code"),
        ("/.well-known/security.txt", "Contact: x"),
        ("/nothing", "not found"),
        ("/app.js/x", "not found"),
        ("/app.js/", "not found"),
    ] {
        assert_eq!(get(&folder, path).await, text, "{path}");
    }
}

/// No dot files, and nothing outside the folder by any road.
#[tokio::test]
async fn hidden_files_and_roads_outside_lead_nowhere() {
    let (_dir, folder) = folder(false);
    for path in [
        "/.env",
        "/sub/.git/config",
        "/link.txt",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/sub/../../outside.txt",
        "/..%2Foutside.txt",
        "/..%5Coutside.txt",
        "/%00",
        "/index.html%00.txt",
        "/%FF",
    ] {
        assert_eq!(get(&folder, path).await, "not found", "{path}");
    }
}

/// A file the client has is not sent again; a `HEAD` brings the head alone; nothing is written.
#[tokio::test]
async fn tags_heads_and_methods() {
    let (_dir, folder) = folder(false);
    let FileAnswer::File(fields, Some(_)) = folder.answer(&Method::GET, "/app.js", &HeaderMap::new()).await else {
        panic!("a file")
    };
    assert_eq!(fields[CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(fields[CONTENT_LENGTH], "4");
    let tag = fields[ETAG].clone();
    let asks = |value: HeaderValue| HeaderMap::from_iter([(IF_NONE_MATCH, value)]);
    assert!(matches!(folder.answer(&Method::GET, "/app.js", &asks(tag)).await, FileAnswer::NotModified(_)));
    let other = HeaderValue::from_static("\"other\", W/\"x\"");
    assert!(
        matches!(folder.answer(&Method::GET, "/app.js", &asks(other)).await, FileAnswer::File(_, Some(_))),
        "negative control"
    );
    assert!(matches!(folder.answer(&Method::HEAD, "/app.js", &HeaderMap::new()).await, FileAnswer::File(_, None)));
    assert!(matches!(folder.answer(&Method::PUT, "/app.js", &HeaderMap::new()).await, FileAnswer::MethodNotAllowed));
}

/// A single-page application's views are its start page; its missing files are missing.
#[tokio::test]
async fn views_of_a_single_page_application() {
    let (_dir, folder) = folder(true);
    assert_eq!(get(&folder, "/notes/42").await, "<p>home");
    assert_eq!(get(&folder, "/missing.js").await, "not found");
    assert_eq!(get(&folder, "/.env").await, "not found");
}

/// H2: a file that shrinks while it is read ends in an error, not in a short body.
#[tokio::test]
async fn h2_a_shrinking_file_is_an_error() {
    let (dir, folder) = folder(false);
    let file = dir.path().join("public/big.bin");
    fs::write(&file, vec![0; 1 << 20]).unwrap();
    let FileAnswer::File(_, Some(mut body)) = folder.answer(&Method::GET, "/big.bin", &HeaderMap::new()).await else {
        panic!("a file")
    };
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(0).unwrap();
    let mut read = first;
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.into_data().unwrap().len(),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(read < 1 << 20 && end.is_some());
}
