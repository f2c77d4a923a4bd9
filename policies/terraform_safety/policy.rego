# Judges a Terraform module before it is handed out.
#
# input = {
#   "module": a module in Terraform's JSON syntax (*.tf.json), as it was generated,
#   "context": {environment, approved_instance_types [..], allow_public_ip, allow_capacity_reservation},
# }
#
# What cannot be read off the module (an expression, a dynamic block, another module) is not proven,
# and what is not proven is denied.
package qlrf.terraform_safety

default allow := false

allow if count(deny) == 0

decision := {"allow": allow, "deny": deny, "warn": warn}

# What is missing is null: OPA takes the negation of a function of something undefined for
# undefined too, and a rule that asks so would never deny.
at(value, path) := object.get(value, path, null) if is_object(value)

at(value, path) := null if {
	not is_object(value)
	is_array(path)
}

default root := {}

root := input if is_object(input)

finding(rule, resource, message) := {"rule": rule, "resource": resource, "message": message}

default module := {}

module := input.module if is_object(input.module)

text(value) if {
	is_string(value)
	trim_space(value) != ""
}

matches(pattern, value) if {
	is_string(value)
	regex.match(pattern, value)
}

some_in(value) if {
	value != null
	count(value) > 0
}

# Terraform takes one block or a list of them.
blocks(value) := value if is_array(value)

blocks(value) := [value] if is_object(value)

listed(value) := value if is_array(value)

listed(value) := [value] if is_string(value)

# Terraform also takes lists here; those are denied below, and not read as something else.
section(name) := module[name] if is_object(module[name])

resources contains {"type": type, "name": name, "address": sprintf("%s.%s", [type, name]), "body": body} if {
	some type, named in section("resource")
	is_object(named)
	some name, value in named
	some body in blocks(value)
}

production if not at(root, ["context", "environment"]) in {"staging", "development", "dr", "sandbox"}

# ---- the module ---------------------------------------------------------------------------------

deny contains finding("module_stated", "module", "there is no resource to judge") if count(resources) == 0

deny contains finding("environment_known", "context", "the environment is missing or unknown") if {
	not at(root, ["context", "environment"]) in {"production", "staging", "development", "dr", "sandbox"}
}

deny contains finding("no_foreign_modules", name, "what another module creates cannot be judged here") if {
	some name, _ in section("module")
}

deny contains finding("no_dynamic_blocks", resource.address, "a dynamic block cannot be judged; write the blocks out") if {
	some resource in resources
	walk(resource.body, [path, _])
	count(path) > 0
	path[count(path) - 1] == "dynamic"
}

deny contains finding("no_unreadable_blocks", name, "write it as an object, not as a list or an expression") if {
	some name in ["resource", "data", "variable", "provider", "module", "output"]
	module[name]
	not is_object(module[name])
}

deny contains finding("no_unreadable_blocks", type, "what is no block, or not spelled out, cannot be judged") if {
	some type, named in section("resource")
	not bodies_readable(named)
}

bodies_readable(named) if {
	is_object(named)
	every body in named { blocks(body) }
}

judged_blocks := {
	"ingress", "security_rule", "root_block_device", "ebs_block_device", "network_interface",
	"settings", "spec", "allow",
}

deny contains finding("no_unreadable_blocks", resource.address, sprintf("%s is an expression; write the block out", [field])) if {
	some resource in resources
	some field in judged_blocks
	is_string(resource.body[field])
}

terraform := blocks(module.terraform)

deny contains finding("no_provisioners", resource.address, "a provisioner runs any command; build it into the image") if {
	some resource in resources
	walk(resource.body, [path, _])
	count(path) > 0
	path[count(path) - 1] == "provisioner"
}

deny contains finding("version_required", "terraform", "terraform.required_version is missing") if {
	not version_required
}

version_required if {
	some block in terraform
	text(block.required_version)
}

allowed_providers := {"aws", "azurerm", "google", "kubernetes", "helm", "random", "null", "local", "tls"}

providers contains name if some name, _ in section("provider")

providers contains name if {
	some block in terraform
	some group in blocks(block.required_providers)
	some name, _ in group
}

providers contains name if {
	some resource in resources
	name := split(resource.type, "_")[0]
}

# Reading data runs a provider too, and `external` any program.
providers contains name if {
	some type, _ in section("data")
	name := split(type, "_")[0]
}

deny contains finding("provider_stated", "provider", "the module configures no provider") if {
	not some_in(at(module, ["provider"]))
}

deny contains finding("provider_allowed", name, "this provider is not allowed") if {
	some name in providers
	not name in allowed_providers
}

pinned contains name if {
	some block in terraform
	some group in blocks(block.required_providers)
	some name, provider in group
	matches(`\d`, provider.version)
	not contains(provider.version, "latest")
}

deny contains finding("provider_pinned", name, "the provider is used without a version in required_providers") if {
	some name in providers
	not name in pinned
}

# ---- secrets ------------------------------------------------------------------------------------

secret_words := ["password", "passwd", "secret", "api_key", "apikey", "token", "credential", "private_key", "access_key"]

# db_password and AWS_SECRET_ACCESS_KEY are secrets too; where one is kept, or its length, is not.
secret_key(key) if {
	is_string(key)
	some word in secret_words
	contains(replace(lower(key), "-", "_"), word)
	not regex.match(`(_arn|_name|_length|_type|_ttl|_algorithm|_url|_version)$`, lower(key))
}

# A secret comes from a variable, a data source or a resource, never from the text.
referred(value) if matches(`^\$\{(var|data|module|each|random_[a-z]+|tls_[a-z_]+|aws_[a-z_]+|azurerm_[a-z_]+|google_[a-z_]+)\.[A-Za-z0-9_.\[\]"*-]+\}$`, value)

literal(value) if {
	text(value)
	not referred(value)
}

keys(path) := [part | some part in path; is_string(part)]

deny contains finding("secret_literal", concat(".", keys(path)), "a secret is written out; take it from a variable or a secret store") if {
	walk(module, [path, value])
	literal(value)
	named := keys(path)
	not named[0] in {"variable", "output"}
	secret_key(named[count(named) - 1])
}

deny contains finding("secret_literal", name, "a variable for a secret has its value as default") if {
	some name, value in section("variable")
	secret_key(name)
	some body in blocks(value)
	literal(body.default)
}

# What a secret holds may be called anything.
holders := {"value", "default", "content", "data", "binary_data", "string_data"}

deny contains finding("secret_literal", resource.address, "what this secret holds is written out") if {
	some resource in resources
	contains(resource.type, "secret")
	walk(resource.body, [path, value])
	literal(value)
	path[0] in holders
}

deny contains finding("secret_literal", resource.address, "a SecureString is written out") if {
	some resource in resources
	resource.type == "aws_ssm_parameter"
	not at(resource.body, ["type"]) in {"String", "StringList"}
	literal(resource.body.value)
}

deny contains finding("secret_literal", concat(".", keys(path)), "a secret is written out; take it from a variable or a secret store") if {
	walk(module, [path, value])
	literal(value)
	named := keys(path)
	count(named) > 1
	named[count(named) - 1] in holders
	not named[0] in {"variable", "output"}
	secret_key(named[count(named) - 2])
}

deny contains finding("secret_literal", pair.name, "a secret is written out as the value of this name") if {
	walk(module, [_, pair])
	is_object(pair)
	secret_key(pair.name)
	literal(pair.value)
}

# ---- who can reach it ---------------------------------------------------------------------------

sensitive_ports := {22, 445, 1433, 2375, 2379, 3306, 3389, 5432, 5985, 5986, 6379, 9200, 11211, 27017}

# An expression may be anything, so it counts as the world; so does a very wide network.
world(source) if lower(source) in {"*", "any", "internet"}

world(source) if regex.match(`/0*[0-7]\s*$`, source)

world(source) if contains(source, "${")

number(value) := value if is_number(value)

number(value) := to_number(value) if matches(`^\d+$`, value)

reaches(low, high) if {
	some port in sensitive_ports
	low <= port
	port <= high
}

# Ports that are not two numbers may be any.
reached(rule) if reaches(number(rule.from_port), number(rule.to_port))

reached(rule) if not number(at(rule, ["from_port"]))

reached(rule) if not number(at(rule, ["to_port"]))

any_protocol := {"-1", -1, "all", "ALL", "All"}

reached(rule) if rule.protocol in any_protocol

reached(rule) if rule.ip_protocol in any_protocol

source_fields := ["cidr_blocks", "ipv6_cidr_blocks", "cidr_ipv4", "cidr_ipv6"]

inner_fields := ["security_groups", "source_security_group_id", "referenced_security_group_id", "prefix_list_ids", "prefix_list_id", "self"]

open_source(rule) if {
	some field in source_fields
	some source in listed(rule[field])
	world(source)
}

# Without a source that can be read nothing shows it is closed.
open_source(rule) if not sourced(rule)

sourced(rule) if {
	some field in source_fields
	count(listed(rule[field])) > 0
}

sourced(rule) if {
	some field in inner_fields
	rule[field]
	not rule[field] == []
}

ingress contains {"address": resource.address, "rule": rule} if {
	some resource in resources
	resource.type in {"aws_security_group", "aws_default_security_group"}
	some rule in blocks(resource.body.ingress)
}

ingress contains {"address": resource.address, "rule": resource.body} if {
	some resource in resources
	resource.type == "aws_security_group_rule"
	not resource.body.type == "egress"
}

ingress contains {"address": resource.address, "rule": resource.body} if {
	some resource in resources
	resource.type == "aws_vpc_security_group_ingress_rule"
}

deny contains finding("port_open_to_world", entry.address, "a port for administration or data is open to the world, or may be") if {
	some entry in ingress
	open_source(entry.rule)
	reached(entry.rule)
}

nsg contains {"address": resource.address, "rule": rule} if {
	some resource in resources
	resource.type == "azurerm_network_security_group"
	some rule in blocks(resource.body.security_rule)
}

nsg contains {"address": resource.address, "rule": resource.body} if {
	some resource in resources
	resource.type == "azurerm_network_security_rule"
}

azure_sources(rule) := array.concat(
	[source | some source in listed(rule.source_address_prefix)],
	[source | some source in listed(rule.source_address_prefixes)],
)

says(value, word) if lower(value) == word

azure_open(rule) if {
	some source in azure_sources(rule)
	world(source)
}

azure_open(rule) if {
	count(azure_sources(rule)) == 0
	not rule.source_application_security_group_ids
}

azure_ports(rule) := array.concat(
	[ports | some ports in listed(rule.destination_port_range)],
	[ports | some ports in listed(rule.destination_port_ranges)],
)

# "*", "22" or "20-30"; anything else may be any port.
range_reached(ports) if not matches(`^\d+(-\d+)?$`, ports)

range_reached(ports) if {
	matches(`^\d+(-\d+)?$`, ports)
	ends := split(ports, "-")
	reaches(to_number(ends[0]), to_number(ends[count(ends) - 1]))
}

azure_reached(rule) if {
	some ports in azure_ports(rule)
	range_reached(ports)
}

azure_reached(rule) if count(azure_ports(rule)) == 0

deny contains finding("port_open_to_world", entry.address, "a port for administration or data is open to the world, or may be") if {
	some entry in nsg
	not says(at(entry.rule, ["access"]), "deny")
	not says(at(entry.rule, ["direction"]), "outbound")
	azure_open(entry.rule)
	azure_reached(entry.rule)
}

google_open(body) if {
	some source in listed(body.source_ranges)
	world(source)
}

google_open(body) if {
	not body.source_ranges
	not body.source_tags
	not body.source_service_accounts
}

google_reached(body) if {
	some rule in blocks(body.allow)
	not at(rule, ["protocol"]) in {"icmp", "esp", "ah"}
	not some_in(at(rule, ["ports"]))
}

google_reached(body) if {
	some rule in blocks(body.allow)
	some ports in rule.ports
	range_reached(sprintf("%v", [ports]))
}

deny contains finding("port_open_to_world", resource.address, "a port for administration or data is open to the world, or may be") if {
	some resource in resources
	resource.type == "google_compute_firewall"
	not resource.body.direction == "EGRESS"
	google_open(resource.body)
	google_reached(resource.body)
}

# A load balancer answers the world unless it is told whom to answer.
deny contains finding("port_open_to_world", resource.address, "a load balancer of Kubernetes answers the world, or may") if {
	some resource in resources
	resource.type in {"kubernetes_service", "kubernetes_service_v1"}
	some spec in blocks(resource.body.spec)
	not at(spec, ["type"]) in {"ClusterIP", "ExternalName", "NodePort"}
	not answers_few(spec)
}

answers_few(spec) if {
	count(spec.load_balancer_source_ranges) > 0
	every source in spec.load_balancer_source_ranges { not world(source) }
}

deny contains finding("public_address", resource.address, "associate_public_ip_address must be false, or allow_public_ip true") if {
	some resource in resources
	resource.type == "aws_instance"
	not resource.body.associate_public_ip_address == false
	not input.context.allow_public_ip == true
}

deny contains finding("public_address", resource.address, "it gets a public address, and allow_public_ip is not true") if {
	some resource in resources
	public_by_block(resource)
	not input.context.allow_public_ip == true
}

public_by_block(resource) if resource.type in {"azurerm_public_ip", "aws_eip", "google_compute_global_address"}

public_by_block(resource) if {
	resource.type == "google_compute_address"
	not resource.body.address_type == "INTERNAL"
}

public_by_block(resource) if {
	resource.type == "aws_launch_template"
	some interface in blocks(resource.body.network_interfaces)
	not interface.associate_public_ip_address == false
}

public_by_block(resource) if {
	resource.type == "google_compute_instance"
	some interface in blocks(resource.body.network_interface)
	some _ in blocks(interface.access_config)
}

public_by_block(resource) if {
	resource.type == "google_sql_database_instance"
	not google_sql_private(resource.body)
}

google_sql_private(body) if {
	some settings in blocks(body.settings)
	some configuration in blocks(settings.ip_configuration)
	configuration.ipv4_enabled == false
}

privileged := {"privileged", "allow_privilege_escalation", "host_network", "host_pid", "host_ipc"}

deny contains finding("pod_confined", resource.address, sprintf("%s gives a container the machine, or may", [key])) if {
	some resource in resources
	startswith(resource.type, "kubernetes_")
	walk(resource.body, [path, value])
	count(path) > 0
	key := path[count(path) - 1]
	key in privileged
	value != false
}

# ---- encryption ---------------------------------------------------------------------------------

deny contains finding("disk_encrypted", resource.address, "encrypted must be true") if {
	some resource in resources
	resource.type == "aws_ebs_volume"
	not resource.body.encrypted == true
}

root_encrypted(body) if {
	some device in blocks(body.root_block_device)
	device.encrypted == true
}

deny contains finding("disk_encrypted", resource.address, "root_block_device.encrypted must be true") if {
	some resource in resources
	resource.type == "aws_instance"
	not root_encrypted(resource.body)
}

deny contains finding("disk_encrypted", resource.address, "ebs_block_device.encrypted must be true") if {
	some resource in resources
	resource.type == "aws_instance"
	some device in blocks(resource.body.ebs_block_device)
	not device.encrypted == true
}

encrypts(configuration, bucket) if {
	contains(configuration.bucket, sprintf("aws_s3_bucket.%s.", [bucket.name]))
	count(configuration.rule) > 0
}

encrypts(configuration, bucket) if {
	text(bucket.body.bucket)
	configuration.bucket == bucket.body.bucket
	count(configuration.rule) > 0
}

bucket_encrypted(resource) if {
	some other in resources
	other.type == "aws_s3_bucket_server_side_encryption_configuration"
	encrypts(other.body, resource)
}

deny contains finding("bucket_encrypted", resource.address, "no aws_s3_bucket_server_side_encryption_configuration is for this bucket") if {
	some resource in resources
	resource.type == "aws_s3_bucket"
	not bucket_encrypted(resource)
}

deny contains finding("bucket_encrypted", resource.address, "uniform_bucket_level_access must be true and public_access_prevention enforced") if {
	some resource in resources
	resource.type == "google_storage_bucket"
	not google_bucket_closed(resource.body)
}

google_bucket_closed(body) if {
	body.uniform_bucket_level_access == true
	body.public_access_prevention == "enforced"
}

databases := {"aws_db_instance", "aws_rds_cluster"}

deny contains finding("database_encrypted", resource.address, "storage_encrypted must be true; it is off if not said") if {
	some resource in resources
	resource.type in databases
	not resource.body.storage_encrypted == true
}

https_only(body) if body.https_traffic_only_enabled == true

https_only(body) if body.enable_https_traffic_only == true

deny contains finding("storage_https", resource.address, "https_traffic_only_enabled must be true") if {
	some resource in resources
	resource.type == "azurerm_storage_account"
	not https_only(resource.body)
}

# ---- order --------------------------------------------------------------------------------------

taggable := {
	"aws_instance", "aws_ebs_volume", "aws_s3_bucket", "aws_db_instance", "aws_rds_cluster",
	"aws_vpc", "aws_subnet", "azurerm_virtual_machine", "azurerm_linux_virtual_machine",
	"azurerm_windows_virtual_machine", "azurerm_storage_account", "azurerm_resource_group",
	"google_compute_instance", "google_storage_bucket",
}

wanted_tags := {"managedby", "environment"}

tag_names(tags) := {replace(lower(name), "_", "") |
	some name, value in tags
	text(value)
}

own_tags(body) := tag_names(body.tags) | tag_names(object.get(body, "labels", {})) if is_object(body.tags)

own_tags(body) := tag_names(object.get(body, "labels", {})) if not is_object(at(body, ["tags"]))

default_tags contains name if {
	some provider in blocks(module.provider.aws)
	some group in blocks(provider.default_tags)
	some name in tag_names(group.tags)
}

inherited(resource) := default_tags if startswith(resource.type, "aws_")

inherited(resource) := set() if not startswith(resource.type, "aws_")

deny contains finding("tagged", resource.address, "the tags ManagedBy and Environment are missing") if {
	some resource in resources
	resource.type in taggable
	count(wanted_tags - (own_tags(resource.body) | inherited(resource))) > 0
}

default approved_types := []

approved_types := input.context.approved_instance_types if is_array(input.context.approved_instance_types)

size_fields := {
	"aws_instance": "instance_type", "google_compute_instance": "machine_type",
	"azurerm_linux_virtual_machine": "size", "azurerm_windows_virtual_machine": "size",
	"azurerm_virtual_machine": "vm_size",
}

deny contains finding("size_approved", resource.address, "its size is not in approved_instance_types") if {
	some resource in resources
	field := size_fields[resource.type]
	not at(resource.body, [field]) in approved_types
}

deny contains finding("reservation_allowed", resource.address, "a reservation costs money unused; allow_capacity_reservation is not true") if {
	some resource in resources
	resource.type == "aws_ec2_capacity_reservation"
	not input.context.allow_capacity_reservation == true
}

deny contains finding("database_redundant", resource.address, "a production database needs multi_az: true") if {
	production
	some resource in resources
	resource.type == "aws_db_instance"
	not resource.body.multi_az == true
}

kept_days := 7 if production

kept_days := 1 if not production

kept_long(body) if number(body.backup_retention_period) >= kept_days

deny contains finding("database_backed_up", resource.address, sprintf("backup_retention_period must be %v or more", [kept_days])) if {
	some resource in resources
	resource.type in databases
	not kept_long(resource.body)
}

deny contains finding("database_backed_up", resource.address, "settings.backup_configuration.enabled must be true") if {
	some resource in resources
	resource.type == "google_sql_database_instance"
	not google_sql_backed_up(resource.body)
}

google_sql_backed_up(body) if {
	some settings in blocks(body.settings)
	some configuration in blocks(settings.backup_configuration)
	configuration.enabled == true
}

warn contains finding("outputs_stated", "output", "the module has no outputs") if not some_in(at(module, ["output"]))

warn contains finding("monitored", resource.address, "detailed monitoring is off") if {
	some resource in resources
	resource.type == "aws_instance"
	not resource.body.monitoring == true
}
