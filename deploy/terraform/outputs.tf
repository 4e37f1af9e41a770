output "api_endpoint" {
  description = "Where the API answers. `ees --url` takes it."
  value       = aws_cloudformation_stack.ees.outputs["ApiEndpoint"]
}

output "stack" {
  description = "All outputs of the stack, by name: topics, tables, the queue of dead letters."
  value       = aws_cloudformation_stack.ees.outputs
}
