"""Writes a container image of one static binary, as an OCI archive. The same binary and certificates make the same bytes:
no times, no names of this machine, no base image that could change.

    image.py BINARY CERTIFICATES ARCHITECTURE VERSION ARCHIVE

The format: https://github.com/opencontainers/image-spec (image-layout.md, config.md, layer.md)."""

import gzip
import hashlib
import io
import json
import sys
import tarfile

USER = 10001
HOME = "/var/lib/ees"


def archive(entries):
    """A tar of entries (name, mode, owner, content; a folder has none), and nothing that changes between two runs."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode, owner, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.uid, entry.gid = mode, owner, owner
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def root(binary, certificates):
    """The files of the image: with the binary, what it needs of a system."""
    folders = [(name, 0o755, 0, None) for name in ["etc", "etc/ssl", "etc/ssl/certs", "usr", "usr/local", "usr/local/bin", "var", "var/lib"]]
    return folders + [
        ("etc/passwd", 0o644, 0, f"root:x:0:0::/:\nees:x:{USER}:{USER}::{HOME}:\n".encode()),
        ("etc/group", 0o644, 0, f"root:x:0:\nees:x:{USER}:\n".encode()),
        ("etc/ssl/certs/ca-certificates.crt", 0o644, 0, certificates),
        ("usr/local/bin/ees", 0o755, 0, binary),
        ("tmp", 0o1777, 0, None),
        (HOME[1:], 0o750, USER, None),
    ]


def image(binary, certificates, architecture, version):
    """The files of the archive, by name."""
    files = {"oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode()}

    def add(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    plain = archive(root(binary, certificates))
    layer = add("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(plain, compresslevel=9, mtime=0))
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": str(USER),
            "WorkingDir": HOME,
            "Env": ["PATH=/usr/local/bin", f"EES_DATA={HOME}/data", "EES_LISTEN=0.0.0.0:7070"],
            "Volumes": {HOME: {}},
            "ExposedPorts": {"7070/tcp": {}},
            "Entrypoint": ["ees"],
            "Cmd": ["serve"],
            # It finishes what was accepted.
            "StopSignal": "SIGTERM",
            "Labels": {"org.opencontainers.image.title": "ees", "org.opencontainers.image.version": version},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        "history": [{"created_by": "deploy/image.py"}],
    }
    config = add("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
    manifest = add(manifest["mediaType"], json.dumps(manifest).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"docker.io/library/ees:{version}"}
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    files["index.json"] = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}).encode()
    return files


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    binary, certificates, architecture, version, target = sys.argv[1:]
    files = image(read(binary), read(certificates), architecture, version)
    folders = [(name, 0o755, 0, None) for name in ["blobs", "blobs/sha256"]]
    written = archive(folders + [(name, 0o644, 0, content) for name, content in sorted(files.items())])
    with open(target, "wb") as file:
        file.write(written)
    print(hashlib.sha256(written).hexdigest(), target)


main()
