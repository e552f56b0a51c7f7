//! Terminal modes of RFC 4254 section 8 (and IUTF8, RFC 8160) onto termios. What is not known is left as it is.

use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

/// Most modes that are looked at; there are fewer opcodes.
const MOST: usize = 256;

/// Applies opcode and argument pairs; `0` ends the list, and an opcode from 160 on ends it too (its argument's form is unknown).
pub(super) fn apply(modes: &[(u8, u32)], to: &mut Termios) {
    for (opcode, value) in modes.iter().take(MOST).take_while(|(opcode, _)| (1..160).contains(opcode)) {
        if let Some(index) = special(*opcode) {
            // 255 means "none" (RFC 4254), which Linux writes as 0.
            to.special_codes[index] = u8::try_from(*value).ok().filter(|code| *code != 255).unwrap_or(0);
            continue;
        }
        let on = *value != 0;
        if let Some(flag) = input(*opcode) {
            to.input_modes.set(flag, on);
        } else if let Some(flag) = local(*opcode) {
            to.local_modes.set(flag, on);
        } else if let Some(flag) = output(*opcode) {
            to.output_modes.set(flag, on);
        } else if (50..=4_000_000).contains(value) {
            // A speed is for programs that ask; nothing runs slower. An unusual one may be refused, which does not matter.
            let _ = match opcode {
                128 => to.set_input_speed(*value),
                129 => to.set_output_speed(*value),
                _ => Ok(()),
            };
        } else {
            control(*opcode, on, to);
        }
    }
}

fn special(opcode: u8) -> Option<SpecialCodeIndex> {
    Some(match opcode {
        1 => SpecialCodeIndex::VINTR,
        2 => SpecialCodeIndex::VQUIT,
        3 => SpecialCodeIndex::VERASE,
        4 => SpecialCodeIndex::VKILL,
        5 => SpecialCodeIndex::VEOF,
        6 => SpecialCodeIndex::VEOL,
        7 => SpecialCodeIndex::VEOL2,
        8 => SpecialCodeIndex::VSTART,
        9 => SpecialCodeIndex::VSTOP,
        10 => SpecialCodeIndex::VSUSP,
        12 => SpecialCodeIndex::VREPRINT,
        13 => SpecialCodeIndex::VWERASE,
        14 => SpecialCodeIndex::VLNEXT,
        16 => SpecialCodeIndex::VSWTC,
        18 => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

fn input(opcode: u8) -> Option<InputModes> {
    Some(match opcode {
        30 => InputModes::IGNPAR,
        31 => InputModes::PARMRK,
        32 => InputModes::INPCK,
        33 => InputModes::ISTRIP,
        34 => InputModes::INLCR,
        35 => InputModes::IGNCR,
        36 => InputModes::ICRNL,
        37 => InputModes::IUCLC,
        38 => InputModes::IXON,
        39 => InputModes::IXANY,
        40 => InputModes::IXOFF,
        41 => InputModes::IMAXBEL,
        42 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local(opcode: u8) -> Option<LocalModes> {
    Some(match opcode {
        50 => LocalModes::ISIG,
        51 => LocalModes::ICANON,
        52 => LocalModes::XCASE,
        53 => LocalModes::ECHO,
        54 => LocalModes::ECHOE,
        55 => LocalModes::ECHOK,
        56 => LocalModes::ECHONL,
        57 => LocalModes::NOFLSH,
        58 => LocalModes::TOSTOP,
        59 => LocalModes::IEXTEN,
        60 => LocalModes::ECHOCTL,
        61 => LocalModes::ECHOKE,
        62 => LocalModes::PENDIN,
        _ => return None,
    })
}

fn output(opcode: u8) -> Option<OutputModes> {
    Some(match opcode {
        70 => OutputModes::OPOST,
        71 => OutputModes::OLCUC,
        72 => OutputModes::ONLCR,
        73 => OutputModes::OCRNL,
        74 => OutputModes::ONOCR,
        75 => OutputModes::ONLRET,
        _ => return None,
    })
}

fn control(opcode: u8, on: bool, to: &mut Termios) {
    match (opcode, on) {
        (90, true) => {
            to.control_modes.remove(ControlModes::CSIZE);
            to.control_modes.insert(ControlModes::CS7);
        }
        (91, true) => {
            to.control_modes.remove(ControlModes::CSIZE);
            to.control_modes.insert(ControlModes::CS8);
        }
        (92, _) => to.control_modes.set(ControlModes::PARENB, on),
        (93, _) => to.control_modes.set(ControlModes::PARODD, on),
        _ => {}
    }
}
