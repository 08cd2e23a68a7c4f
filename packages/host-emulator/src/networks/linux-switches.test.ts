import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, expect, it, vi } from "vitest";
import { LinuxSwitches } from "./linux-switches.ts";
import type { SwitchPort } from "./switches.ts";

const interfacesHere = (): readonly string[] => readdirSync("/sys/class/net").sort();

describeWith(
  "root",
  "ip",
  "busybox",
)("switches", () => {
  const switches = new LinuxSwitches();
  const guests: ChildProcess[] = [];
  afterEach(() => {
    switches.close();
    for (const guest of guests.splice(0)) guest.kill("SIGKILL");
  });

  /** A process in a network namespace of its own. */
  async function guest(): Promise<number> {
    const child = spawn("unshare", ["--net", "sleep", "60"], { stdio: "ignore" });
    guests.push(child);
    const pid = child.pid ?? 0;
    const own = readlinkSync("/proc/self/ns/net");
    await vi.waitFor(() => expect(readlinkSync(`/proc/${pid}/ns/net`)).not.toBe(own));
    return pid;
  }

  const enter = (pid: number, ...command: readonly string[]) => ["-t", String(pid), "-n", ...command];
  const ip = (pid: number, ...words: readonly string[]): string =>
    execFileSync("nsenter", enter(pid, "ip", ...words), { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const reaches = (pid: number, address: string): boolean =>
    spawnSync("nsenter", enter(pid, "busybox", "ping", "-c", "1", "-W", "1", address)).status === 0;

  async function plugged(network: string, host: number): Promise<{ readonly pid: number; readonly port: SwitchPort }> {
    const pid = await guest();
    const macAddress = `00:15:5d:00:00:0${host}`;
    const port = await switches.of(network).plug({ pid, interfaceName: "nic0", macAddress });
    expect(ip(pid, "link", "show", "nic0")).toContain(macAddress);
    ip(pid, "addr", "add", `10.0.0.${host}/24`, "dev", "nic0");
    ip(pid, "link", "set", "nic0", "up");
    return { pid, port };
  }

  it("connect the NICs that are plugged into them, and nothing else of the machine", async () => {
    const before = interfacesHere();
    await switches.add("a");
    await switches.add("b");
    const [one, two, three] = [await plugged("a", 1), await plugged("a", 2), await plugged("b", 3)];
    expect(reaches(one.pid, "10.0.0.2")).toBe(true);
    expect([reaches(one.pid, "10.0.0.3"), reaches(three.pid, "10.0.0.2")]).toEqual([false, false]);
    expect(interfacesHere()).toEqual(before);
    await two.port.disconnect();
    await two.port.disconnect();
    expect(ip(two.pid, "link", "show", "nic0")).toContain("NO-CARRIER");
    expect(reaches(one.pid, "10.0.0.2")).toBe(false);
    for (const { pid, port } of [one, two, three]) {
      await port.remove();
      await port.remove();
      expect(ip(pid, "link")).not.toContain("nic0");
    }
    await switches.remove("a");
    expect(() => switches.of("a")).toThrow("network a has no switch");
  });

  it("leave nothing behind of a NIC that cannot be plugged", async () => {
    await switches.add("a");
    const attempt = switches.of("a").plug({ pid: 2 ** 22 + 1, interfaceName: "nic0", macAddress: "00:15:5d:00:00:01" });
    await expect(attempt).rejects.toThrow(/^ip: .*netns/s);
    const { pid, port } = await plugged("a", 1);
    for (const child of guests.splice(0)) child.kill("SIGKILL");
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow());
    await port.remove();
    await port.disconnect();
  });
});
