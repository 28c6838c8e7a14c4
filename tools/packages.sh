# tools/packages.sh - the Debian packages that mm needs, and their installation. Sourced by ./quickstart and ./check.
# Every package is listed, also those that a developer's machine has anyway: a fresh Debian has none of them.

BUILD_PACKAGES="
	gcc g++ cmake ninja-build pkg-config make libc6-dev
	libevent-dev libssl-dev libsodium-dev libzstd-dev libsqlite3-dev libgmime-3.0-dev libicu-dev
	libjansson-dev libseccomp-dev libarchive-dev libcbor-dev libcurl4-openssl-dev uthash-dev
	libunbound-dev libpsl-dev publicsuffix libidn2-dev
	openssl ca-certificates curl"

TEST_PACKAGES="
	libcmocka-dev clang-14 libclang-rt-14-dev clang-format-14 universal-ctags git python3 swaks
	libnet-ssleay-perl procps strace sqlite3 zstd e2fsprogs mount util-linux checksec systemd man-db mandoc
	qemu-system-common fuse3 xfsprogs libeatmydata1"

# An authoritative DNS server, and the suite of RFC 7208 that it serves (tests/peers/T560-spf-suite.py).
TEST_PACKAGES="$TEST_PACKAGES nsd python3-yaml"
# Another DKIM and ARC (tests/peers/T563-dkim-judges.py, T564-dmarc-suites.py), with what it needs for Ed25519.
TEST_PACKAGES="$TEST_PACKAGES python3-dkim python3-nacl"

# Another mail server and its sink, and what signs a zone (tests/peers/T576-sender.py).
TEST_PACKAGES="$TEST_PACKAGES postfix ldnsutils"

# A mailbox behind LMTP (tests/peers/T577-dovecot.py).
TEST_PACKAGES="$TEST_PACKAGES dovecot-core dovecot-lmtpd"

# Scanners that stand for add-ons (tests/peers/T565-clamd.py, T566-rspamd.py).
TEST_PACKAGES="$TEST_PACKAGES clamav-daemon rspamd"

# The AWS SDK and other signers (tests/peers/npm). Node's own packages bring npm along, and exclude Debian's.
command -v npm >/dev/null 2>&1 || TEST_PACKAGES="$TEST_PACKAGES nodejs npm"

# What tests/bench/run measures mm beside.
BENCH_PACKAGES="postfix notmuch maildir-utils"

# Only for ./check long.
LONG_PACKAGES="postfix nmap testssl.sh valgrind gcovr ceph-base ceph-common ceph-mgr ceph-mon ceph-osd radosgw"

# install_packages NAME... installs what is missing, and nothing when nothing is.
install_packages()
{
	missing=
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		sudo=$(command -v sudo) || {
			echo "These packages are missing and need root or sudo to install:$missing" >&2
			return 1
		}
	fi
	echo "Installing:$missing"
	$sudo apt-get update -qq &&
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			$missing >/dev/null
}

# unpack_package NAME puts a package's files into build-peers/NAME: for one that others exclude.
unpack_package()
{
	place=build-peers/$1
	[ -e "$place" ] && return 0
	mkdir -p build-peers &&
		(cd build-peers && apt-get download -qq "$1" >/dev/null 2>&1 && dpkg -x "$1"_*.deb "$1.new" && mv "$1.new" "$1")
}

# build FOLDER [CMAKE OPTION]... configures and builds, quietly unless it fails.
build()
{
	folder=$1
	shift
	mkdir -p "$folder"
	if ! cmake -G Ninja -S . -B "$folder" "$@" >"$folder/configure.log" 2>&1; then
		cat "$folder/configure.log" >&2
		return 1
	fi
	if ! ninja -C "$folder" >"$folder/build.log" 2>&1; then
		grep -E -A20 'FAILED|error' "$folder/build.log" | head -60 >&2
		return 1
	fi
}
