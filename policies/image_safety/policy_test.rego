package qlrf.image_safety_test

import data.qlrf.image_safety

test_forbidden_by_any_of_its_names if {
	every name in ["telnet", "telnetd", "telnet-server", "ftp", "tftp-hpa", "rsh-server", "Talk", "nis", "vsftpd"] {
		image_safety.forbidden(name)
	}
}

test_not_forbidden_by_likeness if {
	every name in ["lftp", "openssh-sftp-server", "nisse", "talkative", "rshim"] {
		not image_safety.forbidden(name)
	}
}

test_windows_needs_no_ssh if {
	windows := {"image": {"os": {"name": "windows"}, "base_image": "windows-server:2025"}}
	found := {finding.rule | some finding in image_safety.deny} with input as windows
	count(found & {"ssh_hardened", "ssh_no_passwords", "ssh_no_root"}) == 0
}

test_an_unknown_system_needs_ssh if {
	some finding in image_safety.deny with input as {}
	finding.rule == "ssh_hardened"
}

test_an_unknown_purpose_is_production if image_safety.production with input as {}

test_nothing_is_denied if not image_safety.allow with input as {}
