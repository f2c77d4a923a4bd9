# Judges an image before it is built or promoted.
#
# input = {"for_production": bool, "image": {
#   family, version, base_image, owner, retention_days, os {name},
#   hardening {cis_level 1|2|3, stig, ssh {password_auth, root_login}},
#   packages [name], auto_security_updates, monitoring [name], log_forwarding [name],
#   platforms [name], validation {tests [name], security_scan},
#   signature {signed, verified, key_ref}, sbom {digest}, slsa_level }}
#
# Without `for_production: false` an image is judged as one for production.
package qlrf.image_safety

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

default image := {}

image := input.image if is_object(input.image)

finding(rule, resource, message) := {"rule": rule, "resource": resource, "message": message}

text(value) if {
	is_string(value)
	trim_space(value) != ""
}

matches(pattern, value) if {
	is_string(value)
	regex.match(pattern, value)
}

filled(value) if {
	is_array(value)
	count(value) > 0
}

production if not input.for_production == false

deny contains finding("purpose_stated", "for_production", "whether it is for production is not said") if {
	not is_boolean(at(root, ["for_production"]))
}

deny contains finding("image_identified", field, sprintf("the image has no %s", [field])) if {
	some field in ["family", "version", "base_image"]
	not text(at(image, [field]))
}

version_pattern := `^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`

deny contains finding("version_semantic", "version", "the version is not MAJOR.MINOR.PATCH") if {
	not matches(version_pattern, at(image, ["version"]))
}

bases := ["ubuntu:", "debian:", "rhel:", "centos:", "amazon-linux:", "amazonlinux:", "sles:", "windows-server:"]

base_known if {
	text(image.base_image)
	some base in bases
	startswith(image.base_image, base)
}

deny contains finding("base_known", "base_image", "the base image is not one of those we build on") if not base_known

deny contains finding("os_known", "os", "the operating system is missing or unknown") if {
	not at(image, ["os", "name"]) in {"ubuntu", "debian", "rhel", "centos", "amazonlinux", "sles", "windows"}
}

# Both must say it, or an image escapes the demands on SSH by its name alone.
windows if {
	image.os.name == "windows"
	matches(`^windows-server:`, image.base_image)
}

deny contains finding("os_true", "os", "os and base_image disagree on whether it is Windows") if {
	image.os.name == "windows"
	not windows
}

deny contains finding("hardened", "hardening", "nothing is said about hardening") if {
	not is_object(at(image, ["hardening"]))
}

# Levels are numbers, as in the golden image contract; STIG is a benchmark of its own.
benchmarked if image.hardening.cis_level in {1, 2, 3}

benchmarked if image.hardening.stig == true

deny contains finding("benchmarked", "hardening", "production needs CIS level 1, 2 or 3, or STIG") if {
	production
	not benchmarked
}

ssh := image.hardening.ssh

deny contains finding("ssh_hardened", "hardening.ssh", "production needs SSH hardening") if {
	production
	not windows
	not is_object(at(image, ["hardening", "ssh"]))
}

deny contains finding("ssh_no_passwords", "hardening.ssh", "SSH takes passwords, or may") if {
	not windows
	not ssh.password_auth == false
}

deny contains finding("ssh_no_root", "hardening.ssh", "root may log in by SSH, or may be able to") if {
	not windows
	not ssh.root_login == false
}

deny contains finding("packages_listed", "packages", "nobody says which packages are installed") if {
	not filled(at(image, ["packages"]))
}

# The service behind a forbidden client is forbidden too: telnet-server, telnetd, tftp-hpa ...
forbidden_pattern := `^(inetutils-|krb5-)?(telnet|rsh|rlogin|ftp|tftp|nis|talk)(d|-server|-client|-hpa|-redone)*([:=@_ ].*)?$`

forbidden_names := {"vsftpd", "proftpd", "pure-ftpd", "atftpd", "ypbind", "ypserv", "yp-tools", "ntalk"}

forbidden(name) if matches(forbidden_pattern, lower(name))

forbidden(name) if lower(name) in forbidden_names

deny contains finding("package_forbidden", "packages", sprintf("%v speaks a protocol without protection; remove it", [name])) if {
	some name in image.packages
	text(name)
	forbidden(name)
}

deny contains finding("packages_listed", "packages", "a package without a name cannot be judged") if {
	some name in image.packages
	not text(name)
}

deny contains finding("updates_itself", "auto_security_updates", "production needs automatic security updates") if {
	production
	not image.auto_security_updates == true
}

agents := {"datadog-agent", "cloudwatch-agent", "amazon-cloudwatch-agent", "prometheus-node-exporter", "telegraf", "newrelic-infra"}

watched if {
	some agent in image.monitoring
	agent in agents
}

deny contains finding("monitored", "monitoring", "production needs a monitoring agent") if {
	production
	not watched
}

forwarders := {"fluent-bit", "fluentd", "filebeat", "winlogbeat", "vector", "rsyslog"}

forwarding if {
	some forwarder in image.log_forwarding
	forwarder in forwarders
}

deny contains finding("logs_forwarded", "log_forwarding", "production needs a log forwarder") if {
	production
	not forwarding
}

known_platforms := {"aws", "azure", "gcp", "vsphere", "kubernetes", "baremetal"}

deny contains finding("platforms_stated", "platforms", "the image is for no platform") if {
	not filled(at(image, ["platforms"]))
}

deny contains finding("platform_known", "platforms", sprintf("%v is no platform of ours", [platform])) if {
	some platform in image.platforms
	not platform in known_platforms
}

deny contains finding("tested", "validation", "the image has no tests") if not filled(at(image, ["validation", "tests"]))

deny contains finding("scanned", "validation", "production needs a security scan") if {
	production
	not image.validation.security_scan == true
}

signed if {
	image.signature.signed == true
	image.signature.verified == true
	text(image.signature.key_ref)
}

deny contains finding("signed", "signature", "production needs a signature that was verified with a named key") if {
	production
	not signed
}

deny contains finding("sbom_present", "sbom", "production needs a bill of materials, by its SHA-256") if {
	production
	not matches(`^(sha256:)?[0-9a-f]{64}$`, at(image, ["sbom", "digest"]))
}

built_safely if {
	is_number(image.slsa_level)
	image.slsa_level >= 2
	image.slsa_level <= 4
}

deny contains finding("provenance", "slsa_level", "production needs build provenance of SLSA level 2 or more") if {
	production
	not built_safely
}

warn contains finding("owner_named", "owner", "nobody owns the image") if not text(at(image, ["owner"]))

warn contains finding("retention_stated", "retention_days", "nobody says how long it is kept") if {
	not is_number(at(image, ["retention_days"]))
}

warn contains finding("benchmark_low", "hardening", "CIS level 1 is little for production") if {
	production
	image.hardening.cis_level == 1
	not image.hardening.stig == true
}
