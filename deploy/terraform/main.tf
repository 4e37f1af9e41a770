# The event store's stack (../template.yaml) for projects that use Terraform: it uploads the functions' zip and the template,
# and has CloudFormation make the resources.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

# The former zip and template are deleted after the update of the stack: CloudFormation needs them if it has to go back.
resource "aws_s3_object" "code" {
  bucket = var.bucket
  key    = local.code_key
  source = var.code

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "${var.name}/${sha256(local.template)}.yaml"
  content = local.template

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "ees" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.this.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = var.parameters
  tags         = var.tags
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  depends_on   = [aws_s3_object.code]
}

data "aws_s3_bucket" "this" {
  bucket = var.bucket
}
