# The role of the chaos pod. The policies are files beside this directory, which `httpfault-ctl policy` prints; nothing is
# written twice.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "name" {
  description = "Name of the role and of its policy"
  type        = string
  default     = "httpfault"
}

variable "policy_file" {
  description = "Policy of the role; narrower: httpfault-ctl policy --cluster-name shop --region eu-west-1 > shop.json"
  type        = string
  default     = "../controller.json"
}

variable "oidc_provider_arn" {
  description = "OIDC provider of the EKS cluster (IRSA); without it the role is for EKS Pod Identity"
  type        = string
  default     = ""
}

variable "service_account" {
  description = "Namespace and name of the service account (IRSA)"
  type        = string
  default     = "chaos:httpfault"
}

locals {
  example_provider = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E"
  example_issuer   = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E"
  issuer           = replace(var.oidc_provider_arn, "/^.*:oidc-provider\\//", "")
  irsa = replace(replace(replace(file("${path.module}/../trust-irsa.json"),
    local.example_provider, var.oidc_provider_arn),
    local.example_issuer, local.issuer),
  "chaos:httpfault", var.service_account)
  pod_identity = file("${path.module}/../trust-pod-identity.json")
}

resource "aws_iam_policy" "controller" {
  name        = var.name
  description = "What httpfault-ctl needs, and nothing else"
  policy      = file("${path.module}/${var.policy_file}")
}

resource "aws_iam_role" "controller" {
  name               = var.name
  assume_role_policy = var.oidc_provider_arn == "" ? local.pod_identity : local.irsa
}

resource "aws_iam_role_policy_attachment" "controller" {
  role       = aws_iam_role.controller.name
  policy_arn = aws_iam_policy.controller.arn
}

output "role_arn" {
  value = aws_iam_role.controller.arn
}
