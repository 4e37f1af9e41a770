use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use ees_store::EventStore;
use ees_store::postgres::Store;
use ees_test_postgres::Server;

use super::{administrator, commit, run};

/// A certificate for 127.0.0.1, signed by itself, and its key.
fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
    openssl.arg(format!("/CN={name}")).args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(&key).arg("-out");
    let made = openssl.arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test]
async fn tls_is_used_as_asked_and_refused_when_it_can_not_be_trusted() {
    let server = Server::start().await;
    let url = server.url("postgres");
    let plain = Store::connect(&format!("{url}?sslmode=require")).await.map(drop).unwrap_err();
    assert!(plain.to_string().contains("does not support TLS"), "{plain}");
    let mut administrator = administrator(&url).await;
    let library: String = sqlx::query_scalar("SHOW ssl_library").fetch_one(&mut administrator).await.unwrap();
    if library.is_empty() {
        return eprintln!("left out: this PostgreSQL was built without TLS (that of a wheel is)");
    }

    let folder = tempfile::tempdir().unwrap();
    let (root, key) = certificate(folder.path(), "server");
    let (stranger, _) = certificate(folder.path(), "stranger");
    let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut administrator).await.unwrap();
    for (file, name) in [(&root, "server.crt"), (&key, "server.key")] {
        let target = Path::new(&data).join(name);
        std::fs::copy(file, &target).unwrap();
        let owner = std::fs::metadata(&data).unwrap();
        chown(&target, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    run(&mut administrator, "ALTER SYSTEM SET ssl = on").await;
    server.restart().await;

    let trusting = |root: &Path| format!("{url}?sslmode=verify-full&sslrootcert={}", root.display());
    let store = Store::connect(&trusting(&root)).await.unwrap();
    store.commit(commit("a", 0, 0)).await.unwrap();
    let mut administrator = super::administrator(&url).await;
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'ees-store'";
    assert!(sqlx::query_scalar::<_, bool>(encrypted).fetch_one(&mut administrator).await.unwrap());

    let refused = Store::connect(&trusting(&stranger)).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    assert!(matches!(refused, ees_store::Error::Storage { .. }), "waiting does not help: {refused:?}");
}
