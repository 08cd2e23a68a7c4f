import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { startProgram } from "@uvm-shim/child-processes";
import { hresults, type Plan9Share } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ShareServing, VsockShares } from "./shares.ts";

describeWith("Linux")("shares of a virtual machine", () => {
  let folder: string;
  let shares: VsockShares;
  let served: string[];
  let reports: string[];
  let failure: Error | undefined;

  /** Sends what it gets back, in place of 9p. */
  const start: ShareServing["start"] = async (connection, offered) => {
    if (failure !== undefined) throw failure;
    served.push(offered.map(({ AccessName: name }) => name).join());
    const child = await startProgram("cat", [], { stdio: ["pipe", connection, "ignore"] });
    connection.pipe(child.stdin as Writable).on("error", () => {});
    const ended = once(child, "close").then(() => connection.destroy());
    return { ended, kill: () => void child.kill("SIGKILL") };
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "qemu-shares-"));
    [served, reports, failure] = [[], [], undefined];
    const report = (message: string): void => void reports.push(message);
    shares = new VsockShares({ name: "vm", directory: folder }, { start, report });
  });
  afterEach(async () => {
    await shares.close();
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  const share = (name: string, port = 564): Plan9Share => ({
    Name: name,
    AccessName: name,
    Path: folder,
    Port: port,
    Flags: 0,
  });
  const dial = (port = 564): Socket =>
    createConnection({ path: join(folder, `hv.vsock_${port}`), allowHalfOpen: true });

  async function echoed(port?: number): Promise<string> {
    const connection = dial(port);
    connection.end("requests");
    return text(connection);
  }

  it("are at a vsock port of the host, with a server for each connection", async () => {
    await shares.add(share("a"));
    await shares.add(share("b"));
    await shares.add(share("c", 1000));
    expect(await Promise.all([echoed(), echoed(), echoed(1000)])).toEqual(["requests", "requests", "requests"]);
    expect(served.sort()).toEqual(["a,b", "a,b", "c"]);
    await shares.remove("a");
    expect(await echoed()).toBe("requests");
    expect(served.at(-1)).toBe("b");
    await shares.remove("b");
    expect(readdirSync(folder)).toEqual(["hv.vsock_1000"]);
  });

  it("exist once by each name", async () => {
    await shares.add(share("a"));
    await expect(shares.add(share("a", 1000))).rejects.toMatchObject({ hresult: hresults.ERROR_ALREADY_EXISTS });
    await expect(shares.remove("b")).rejects.toMatchObject({ hresult: hresults.ERROR_NOT_FOUND });
  });

  it("end what was mounted only with the machine", async () => {
    await shares.add(share("a"));
    const connection = dial();
    connection.write("1");
    await once(connection, "data");
    await shares.remove("a");
    connection.write("2");
    expect(String(await once(connection, "data"))).toBe("2");
    const ended = once(connection, "end");
    await shares.close();
    await ended;
    connection.destroy();
  });

  it("close a connection that cannot be served", async () => {
    failure = new Error("no more processes");
    await shares.add(share("a"));
    expect(await echoed().catch(({ code }: NodeJS.ErrnoException) => code)).toMatch(/^(|ECONNRESET|EPIPE)$/);
    await vi.waitFor(() => expect(reports).toEqual(["VM vm: a share could not be served: no more processes"]));
  });

  it("need a port that nobody else has", async () => {
    await shares.add(share("a"));
    const others = new VsockShares({ name: "vm", directory: folder }, { start, report: () => {} });
    await expect(others.add(share("b"))).rejects.toThrow("EADDRINUSE");
    await others.close();
  });
});
