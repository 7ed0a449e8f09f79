# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# Tags read and written by instructions or by KVM: the same bytes in the file, the same memory after it.
. /share/tests/system/snapshot-lib.sh

plan 13

# All of a file from its memory on, data, tags and index, as one number. Before it is what differs: time, uuid.
memory_of()
{
	# shellcheck disable=SC2046 # two words
	set -- "$1" $("$B/spoil" ram "$1")
	tail -c +$(($2 + 1)) "$1" | md5sum
}

check "a guest that changes memory and tags all the time" worker g -c 2 -m 96 --mte
pause g
check "--tag-walker ldg" snapshot g ldg --tag-walker ldg
check "--tag-walker ioctl" snapshot g ioctl --tag-walker ioctl
# The first snapshot writes the interrupt controller's tables into the guest's memory.
sum=$(memory g)
check "the VM's memory has tags" sh -c "echo '$sum' | grep -E 'pages [1-9][0-9]{2}.* tagged [1-9][0-9]{2}'"
check "the same bytes" is "$(memory_of ioctl)" "$(memory_of ldg)"
check "control: without tags they differ" snapshot g bare --drop-tags
check "control: so they do" not is "$(memory_of bare)" "$(memory_of ldg)"
resume g
check "--tag-walker ioctl --live" snapshot g live --tag-walker ioctl --live --threads 2
check "the VM goes on" goes_on g "$WORK" 1 60
ctl stop g
ended g 20

restore r ldg --tag-walker ioctl --paused --threads 2
check "restore --tag-walker ioctl: is paused" wait_for 60 listed r paused
check "memory and tags are those of the VM, seen from outside" is "$(memory r)" "$sum"
ctl stop r
ended r 20
restore l live --tag-walker ldg
check "a live one that KVM gave the tags for goes on" goes_on l "$WORK" 2 60
check "without a report" unharmed l
ctl stop l
ended l 20
