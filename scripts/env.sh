# Sourced by the other scripts: puts a cargo that is new enough on PATH, also under sudo, which forgets PATH.
# Sets nothing when there is none; scripts/setup then installs one.

SLUICE_RUST=1.95

# Is the cargo in this directory (with its rustc) new enough? Looks at rustc: cargo may be a shim of rustup.
sluice_rust_is_new_enough() {
    local version
    version=$("$1/rustc" --version 2>/dev/null) || return 1
    version=${version#rustc }
    version=${version%% *}
    version=${version%%-*}
    [ "$(printf '%s\n' "$SLUICE_RUST" "$version" | sort -V | head -n 1)" = "$SLUICE_RUST" ]
}

# Prints the directory of a usable cargo, and after a space the home of the rustup that it belongs to, if any.
sluice_find_cargo() {
    local found homes home
    found=$(command -v cargo) && sluice_rust_is_new_enough "${found%/*}" && { echo "${found%/*}"; return; }
    homes=$HOME
    [ -n "${SUDO_USER:-}" ] && homes+=" $(getent passwd "$SUDO_USER" | cut -d: -f6)"
    for home in $homes; do
        [ -x "$home/.cargo/bin/cargo" ] || continue
        # A shim finds its toolchains by this variable; under sudo HOME is another.
        if RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup} sluice_rust_is_new_enough "$home/.cargo/bin"; then
            echo "$home/.cargo/bin ${RUSTUP_HOME:-$home/.rustup}"
            return
        fi
    done
    for found in /usr/local/cargo/bin /usr/local/bin /usr/bin; do
        [ -x "$found/cargo" ] && sluice_rust_is_new_enough "$found" && { echo "$found"; return; }
    done
    return 1
}

if SLUICE_CARGO=$(sluice_find_cargo); then
    read -r sluice_bin sluice_rustup <<<"$SLUICE_CARGO"
    case ":$PATH:" in
        *":$sluice_bin:"*) ;;
        *) PATH=$sluice_bin:$PATH ;;
    esac
    export PATH
    if [ -n "${sluice_rustup:-}" ] && [ -d "$sluice_rustup" ]; then
        export RUSTUP_HOME=$sluice_rustup
    fi
    unset sluice_bin sluice_rustup
fi
