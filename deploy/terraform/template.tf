locals {
  code_key = "${var.name}/${filesha256(var.code)}.zip"
  # Where `sam deploy` would upload a folder, the zip is there already.
  template = replace(
    file("${path.module}/../template.yaml"),
    "CodeUri: build/",
    "CodeUri: { Bucket: ${var.bucket}, Key: ${local.code_key} }",
  )
}
