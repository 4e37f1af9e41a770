variable "name" {
  description = "The name of the stack. The names of its functions and topics begin with it."
  type        = string
  default     = "ees"
}

variable "code" {
  description = "The path of the zip with the functions' binary: `just lambda-zip` makes it, for the Architecture among the parameters."
  type        = string
}

variable "bucket" {
  description = "A bucket of yours in the same region, for the zip and the template. Each version has a key of its own."
  type        = string
}

variable "parameters" {
  description = "Parameters of the template, by name. Those left out have its defaults."
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of the stack, which CloudFormation gives to its resources."
  type        = map(string)
  default     = {}
}
