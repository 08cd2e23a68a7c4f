/** What a VM of the attack boots: bundled by the harness, and put into a boot folder beside a `mode.json`. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { dirname, join } from "node:path";
import { powerDescriptor, powerWords, readBootParameters } from "@uvm-shim/host-protocol/guest";
import { findMode } from "../modes/index.ts";
import type { BootOrders } from "../modes/mode.ts";
import { randomOf } from "../random.ts";
import { bootOrdinarily } from "./boot.ts";
import { HostileGuest } from "./hostile-guest.ts";

const sockets = "/run/host/hvsock";

/** The emulated host attaches its shares and disks there, and the host's own /run must not be written to. */
function takeOwnRun(vsockDirectory: string): void {
  const script = [
    'mount --bind "$1" /mnt',
    "mount -t tmpfs tmpfs /run",
    "mkdir -p /run/host/hvsock",
    "mount --move /mnt /run/host/hvsock",
  ];
  execFileSync("/bin/sh", ["-c", script.join(" && "), "sh", vsockDirectory]);
}

function reportPower(): void {
  const power = new Socket({ fd: powerDescriptor, readable: true, writable: true });
  const off = (): never => process.exit(0);
  power.on("end", off).on("close", off).on("error", off).resume();
  power.write(`${powerWords.up}\n`);
}

const folder = dirname(process.argv[1] ?? "");
const orders = JSON.parse(readFileSync(join(folder, "mode.json"), "utf8")) as BootOrders;
takeOwnRun(readBootParameters(process.env).vsockDirectory);
const guest = new HostileGuest({
  sockets,
  deeds: join(folder, "deeds"),
  floodMs: orders.floodMs,
  random: randomOf(orders.seed),
});
const mode = findMode(orders.mode);
mode.attack(guest);
reportPower();
void (mode.boot ?? bootOrdinarily)(guest);
