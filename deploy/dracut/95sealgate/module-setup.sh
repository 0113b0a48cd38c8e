#!/bin/bash
# dracut module: keys in the initramfs, before the root file system is mounted, for crypttab to use.
# Install to /usr/lib/dracut/modules.d/95sealgate, and build with: dracut --add sealgate --force

check() {
    [ -x /opt/sealgate/bin/sealgate ] && [ -f /etc/sealgate/trust.json ] && [ -f /etc/sealgate/keys.conf ] && return 255
    return 1
}

depends() {
    echo network
}

installkernel() {
    hostonly='' instmods sev-guest tdx-guest tsm configfs tpm_crb tpm_tis
}

install() {
    local file python
    python=$(readlink -f /opt/sealgate/bin/python3)
    inst_multiple mount mkdir "$python" ldconfig
    # The environment, and the interpreter's own library: an initramfs has neither.
    while IFS= read -r -d '' file; do
        inst_simple "$file"
    done < <(find /opt/sealgate "$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
        -type f ! -name '*.pyc' ! -path '*/test/*' -print0)
    while IFS= read -r -d '' file; do
        inst_libdir_file "$(basename "$file")"
    done < <(find /opt/sealgate -name '*.so*' -print0)
    inst_simple /etc/sealgate/trust.json
    inst_simple /etc/sealgate/keys.conf
    inst_hook initqueue/settled 50 "$moddir/sealgate-keys.sh"
}
