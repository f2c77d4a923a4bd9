package qlrf.terraform_safety_test

import data.qlrf.terraform_safety

test_secrets_by_any_part_of_the_name if {
	every key in ["password", "db_password", "AWS_SECRET_ACCESS_KEY", "api-key", "githubToken", "tls_private_key"] {
		terraform_safety.secret_key(key)
	}
}

test_where_a_secret_is_kept_is_no_secret if {
	every key in ["secret_arn", "password_length", "secret_name", "user"] {
		not terraform_safety.secret_key(key)
	}
}

test_only_references_are_no_literals if {
	every value in ["hunter2", "${upper(\"x\")}", "${local.password}", "prefix-${var.password}"] {
		terraform_safety.literal(value)
	}
	every value in ["${var.db_password}", "${random_password.db.result}", "${data.aws_secretsmanager_secret_version.db.secret_string}"] {
		not terraform_safety.literal(value)
	}
}

test_the_world_has_many_names if {
	every source in ["0.0.0.0/0", "::/0", "Internet", "*", "Any", "0.0.0.0/1", "2000::/3", "${var.cidr}"] {
		terraform_safety.world(source)
	}
	every source in ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "VirtualNetwork"] {
		not terraform_safety.world(source)
	}
}

test_a_range_reaches_what_is_inside if terraform_safety.range_reached("20-30")

test_a_range_does_not_reach_what_is_not if not terraform_safety.range_reached("23-444")

test_one_block_is_a_list_of_one if terraform_safety.blocks({"a": 1}) == [{"a": 1}]

test_nothing_is_denied if not terraform_safety.allow with input as {}
