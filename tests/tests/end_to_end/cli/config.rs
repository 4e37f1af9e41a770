use ees_tests::{Server, ees, run};

use super::World;

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "1"]).ok();
    let (here, nowhere) = (world.url(), "http://127.0.0.1:1");
    let code = |file: &str, env: Option<&str>, flag: Option<&str>| {
        world.file("ees.toml", &format!("url = {file:?}"));
        let mut command = ees(&["read", "a"]);
        command.current_dir(world.folder.path());
        if let Some(url) = env {
            command.env("EES_URL", url);
        }
        if let Some(url) = flag {
            command.args(["--url", url]);
        }
        run(&mut command).code
    };
    assert_eq!(code(&here, None, None), Some(0));
    assert_eq!(code(nowhere, Some(&here), None), Some(0));
    assert_eq!(code(nowhere, Some(nowhere), Some(&here)), Some(0));
    assert_eq!(code(&here, Some(nowhere), None), Some(6));
    assert_eq!(code(&here, Some(&here), Some(nowhere)), Some(6));
}

#[test]
fn a_server_takes_its_settings_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    std::fs::write(&file, "api-keys = ['read:r', 'admin:a']\nlog = 'debug'\nstore = 'memory:'").unwrap();
    let server = Server::start_with(folder.path().join("data"), &["--config", file.to_str().unwrap()]);
    let line = ["projections", "pause", "statistics"];
    run(server.ees(&line).env("EES_API_KEY", "r")).failed(7);
    run(server.ees(&line).env("EES_API_KEY", "a")).ok();
}

#[test]
fn a_file_that_can_not_be_right_is_told_in_one_line() {
    let world = World::new();
    for (content, told) in [
        ("urll = 'x'", "\"urll\""),
        ("urll = 'x'", "did you mean \"url\"?"),
        ("url = ", "line 1"),
        ("url = 1979-05-27", "\"url\""),
    ] {
        let file = world.file("bad.toml", content);
        let said = world.run(&["read", "a", "--config", file.to_str().unwrap()]).failed(2);
        assert!(said.contains("bad.toml") && said.contains(told), "{said}");
    }
    let said = world.run(&["read", "a", "--config", "missing.toml"]).failed(2);
    assert!(said.contains("missing.toml"), "{said}");
}
