/* Runs a firmware in rp2040js (npm), as a Pico would from its boot ROM on, with UART0 as a TCP server.
 *
 *     node rp2040.cjs FIRMWARE.ELF [out=FILE,bytes=2,begin=...,end=...,pause=...,resume=...[,n_parts=N,parts=FILE2]]
 *     node rp2040.cjs --version
 *
 * The boot ROM is not needed: what it does with flash is done here (RP2040 datasheet, 2.8.1): the CRC of the first 256 bytes
 * is compared, they are copied to the end of RAM and called. The program starts when the port is first opened.
 *
 * What rp2040js leaves out and a firmware of edgewright needs is added: hints as NOP, the reset by AIRCR, and a HardFault
 * for an undefined instruction and an address where nothing is. Accesses of 16 bits that are not aligned go unnoticed.
 *
 * With the second argument the instructions of each inference are counted, as _emulator/qemu/ew_icount.c does it and in its
 * format, without cycles. */
"use strict";
const fs = require("node:fs");
const net = require("node:net");

const FLASH = 0x10000000;
const FLASH_BYTES = 0x200000;
const BOOT2_BYTES = 256;
const BOOT2_RUNS_AT = 0x20041f00;
const HARD_FAULT = 3;
const AIRCR = 0xd0c; // of the private peripheral bus
const SYSRESETREQ = 0x05fa0004;
const SLICE_STEPS = 200_000; // between looks at the line
const IDLE_MS = 1;

function fail(words) {
    process.stderr.write(`rp2040.cjs: ${words}\n`);
    process.exit(1);
}

function loadPackage() {
    let path;
    try {
        path = require.resolve("rp2040js", { paths: [process.cwd(), __dirname] });
    } catch {
        fail("the npm package rp2040js is not there: npm install rp2040js, or name its node_modules in NODE_PATH");
    }
    return { path, ...require(path) };
}

/* What is loaded into flash, by the program headers of an ELF file of 32 bits. */
function readFlash(path) {
    const file = fs.readFileSync(path);
    const flash = new Uint8Array(FLASH_BYTES).fill(0xff);
    if (file.length < 52 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 1) {
        fail(`'${path}' is no ELF file of 32 bits`);
    }
    const [table, size, count] = [file.readUInt32LE(28), file.readUInt16LE(42), file.readUInt16LE(44)];
    for (let at = table; at < table + size * count; at += size) {
        const [kind, offset, , address, bytes] = [0, 1, 2, 3, 4].map((word) => file.readUInt32LE(at + 4 * word));
        if (kind === 1 && bytes > 0) {
            if (address < FLASH || address + bytes > FLASH + FLASH_BYTES) {
                fail(`'${path}' has ${bytes} bytes for 0x${address.toString(16)}, which is not in flash`);
            }
            flash.set(file.subarray(offset, offset + bytes), address - FLASH);
        }
    }
    if (crc32(flash.subarray(0, BOOT2_BYTES - 4)) !== Buffer.from(flash.buffer).readUInt32LE(BOOT2_BYTES - 4)) {
        fail("the CRC of the first 256 bytes is wrong: the boot ROM would not start this image");
    }
    return flash;
}

function crc32(bytes) {
    let crc = 0xffffffff;
    for (const byte of bytes) {
        crc ^= byte << 24;
        for (let bit = 0; bit < 8; bit++) {
            crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
        }
    }
    return crc >>> 0;
}

/* Instructions between the markers BEGIN and END, without those of handlers (between PAUSE and RESUME, and one more). */
class Counter {
    constructor(text) {
        const values = Object.fromEntries(
            text.split(/(?<!,),(?!,)/).map((word) => {
                const at = word.indexOf("=");
                return [word.slice(0, at), word.slice(at + 1).replaceAll(",,", ",")];
            })
        );
        this.kinds = new Map(["begin", "end", "pause", "resume"].map((name) => [Number(values[name]), name]));
        this.parts = Number(values.n_parts ?? 0);
        this.partAt = new Int32Array(FLASH_BYTES / 2).fill(-1); // by halfwords of flash
        for (const line of values.parts ? fs.readFileSync(values.parts, "utf8").trim().split("\n") : []) {
            const [first, end, part] = line.split(" ");
            this.partAt.fill(Number(part), (parseInt(first, 16) - FLASH) / 2, (parseInt(end, 16) - FLASH) / 2);
        }
        this.counts = new Float64Array(1 + this.parts);
        this.inside = this.returning = false;
        this.pauses = this.part = 0;
        this.file = fs.openSync(values.out, "a");
    }

    marker(opcode) {
        const kind = this.kinds.get(opcode);
        if (kind === "begin") {
            this.counts.fill(0);
            this.inside = true;
            this.returning = false;
            this.pauses = 0;
            this.part = this.parts - 1;
        } else if (kind === "end" && this.inside) {
            const record = Buffer.alloc(16 * this.counts.length); // instructions and cycles
            this.counts.forEach((count, i) => record.writeBigUInt64LE(BigInt(count), 16 * i));
            fs.writeSync(this.file, record);
            this.inside = false;
        } else if (kind === "pause") {
            this.pauses++;
            this.returning = false;
        } else if (kind === "resume" && this.pauses > 0) {
            this.returning = --this.pauses === 0;
        }
    }

    instruction(address) {
        if (this.returning) {
            this.returning = false;
        } else if (this.inside && this.pauses === 0) {
            this.counts[0]++;
            if (this.parts > 0) {
                const part = this.partAt[(address - FLASH) / 2] ?? -1;
                this.part = part >= 0 ? part : this.part;
                this.counts[1 + this.part]++;
            }
        }
    }
}

/* What rp2040js would only warn of, and a chip answers with a HardFault. */
class Faults {
    found = "";
    debug() {}
    info() {}
    error = this.warn;
    warn(component, message) {
        if (component === "RP2040" || component === "CortexM0Core") {
            this.found = message;
        }
    }
}

class Chip {
    /* `ram`: what a reset leaves as it was; null after power-up. */
    constructor(RP2040, flash, onByte, ram) {
        this.faults = new Faults();
        this.chip = new RP2040();
        this.chip.logger = this.faults;
        this.chip.flash.set(flash);
        if (ram !== null) {
            this.chip.sram.set(ram);
        }
        this.chip.sram.set(flash.subarray(0, BOOT2_BYTES), BOOT2_RUNS_AT - 0x20000000);
        this.chip.core.PC = BOOT2_RUNS_AT;
        this.chip.onBreak = () => {
            this.faults.found = "an undefined instruction or a breakpoint";
        };
        this.chip.uart[0].onByte = onByte;
        this.wantsReset = false;
        const ppb = this.chip.ppb;
        const write = ppb.writeUint32.bind(ppb);
        ppb.writeUint32 = (offset, value) => {
            if (offset === AIRCR) {
                this.wantsReset = value >>> 0 === SYSRESETREQ;
            } else {
                write(offset, value);
            }
        };
        this.faults.found = "";
    }

    receive(byte) {
        const uart = this.chip.uart[0];
        const taken = uart.enabled && uart.rxEnabled && !uart.rxFIFO.full;
        if (taken) {
            uart.feedByte(byte);
        }
        return taken;
    }

    /* Runs up to `steps` instructions; stops early where the processor waits for an interrupt. */
    run(steps, counter) {
        const { chip, faults } = this;
        const { core, clock } = chip;
        for (let step = 0; step < steps && !core.waiting && !this.wantsReset; step++) {
            if (core.interruptsUpdated) {
                core.checkForInterrupts();
            }
            const address = core.PC & ~1;
            const opcode = chip.readUint16(address);
            if ((opcode & 0xff0f) === 0xbf00 && opcode >= 0xbf50) { // a hint without a meaning: NOP
                counter?.marker(opcode);
                core.PC += 2;
                clock.tick(1e9 / chip.clkSys);
                continue;
            }
            counter?.instruction(address);
            const cycles = core.executeInstruction();
            clock.tick((cycles * 1e9) / chip.clkSys);
            if (faults.found !== "") {
                this.fault(address);
            }
        }
    }

    /* A HardFault at an instruction. A second one, or one of its frame (a stack that has overflowed), locks the core up. */
    fault(address) {
        const { core } = this.chip;
        const words = this.faults.found;
        this.faults.found = "";
        core.PC = address;
        const isSecond = core.IPSR === HARD_FAULT;
        if (!isSecond) {
            core.exceptionEntry(HARD_FAULT);
        }
        if (isSecond || this.faults.found !== "") {
            fail(`the core locked up at 0x${address.toString(16)}: ${words}`);
        }
    }

    /* Lets time pass while the processor waits. */
    wait(milliseconds) {
        this.chip.clock.tick(milliseconds * 1e6);
        const { core } = this.chip;
        if (core.interruptsUpdated && core.checkForInterrupts()) {
            core.waiting = false;
        }
    }
}

function serve(RP2040, flash, counter) {
    const received = [];
    let chip = null;
    let socket = null;
    let sent = [];
    let timer = null;
    const onByte = (byte) => sent.push(byte);

    function turn() {
        timer = null;
        while (received.length > 0 && chip.receive(received[0])) {
            received.shift();
        }
        chip.run(SLICE_STEPS, counter);
        if (sent.length > 0) {
            socket?.write(Buffer.from(sent));
            sent = [];
        }
        if (chip.wantsReset) {
            chip = new Chip(RP2040, flash, onByte, chip.chip.sram);
        }
        if (chip.chip.core.waiting && received.length === 0) {
            timer = setTimeout(() => {
                chip.wait(IDLE_MS);
                turn();
            }, IDLE_MS);
        } else {
            timer = setImmediate(turn);
        }
    }

    const server = net.createServer({ noDelay: true }, (connection) => {
        socket?.destroy();
        socket = connection;
        connection.on("data", (data) => {
            received.push(...data);
            if (chip.chip.core.waiting) {
                clearTimeout(timer);
                clearImmediate(timer);
                turn();
            }
        });
        connection.on("error", () => {});
        if (chip === null) {
            chip = new Chip(RP2040, flash, onByte, null);
            turn();
        }
    });
    server.listen(0, "127.0.0.1", () => {
        process.stderr.write(`waiting for connection on: tcp:127.0.0.1:${server.address().port}\n`);
    });
}

const { path, RP2040 } = loadPackage();
if (process.argv[2] === "--version") {
    const { version } = JSON.parse(fs.readFileSync(path.replace(/dist.*$/, "package.json"), "utf8"));
    process.stdout.write(`rp2040js ${version}\n`);
} else {
    const flash = readFlash(process.argv[2]);
    serve(RP2040, flash, process.argv[3] ? new Counter(process.argv[3]) : null);
}
