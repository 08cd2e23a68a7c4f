import koffi from "koffi";
import { describe, expect, it } from "vitest";
import * as structures from "./structures.ts";

describe("structures of the kernel", () => {
  it.each([
    ["mount_attr", structures.mountAttributes, 32],
    ["loop_info64", structures.loopInfo, 232],
    ["loop_config", structures.loopConfiguration, 304],
    ["dm_ioctl", structures.mapperRequest, 312],
    ["dm_target_spec", structures.mapperTarget, 40],
    ["winsize", structures.windowSize, 8],
    ["ifreq", structures.interfaceRequest, 40],
    ["siginfo_t", structures.signalInformation, 128],
    ["sockaddr_un", structures.unixAddress, 110],
    ["sockaddr_vm", structures.vsockAddress, 16],
    ["iovec", structures.ioVector, 16],
    ["msghdr", structures.messageHeader, 56],
  ] as const)("%s has the kernel's size", (_, type, size) => {
    expect(type.size).toBe(size);
  });

  it("places members where the kernel looks for them", () => {
    expect(koffi.offsetof(structures.loopInfo, "lo_offset")).toBe(24);
    expect(koffi.offsetof(structures.loopInfo, "lo_flags")).toBe(52);
    expect(koffi.offsetof(structures.loopConfiguration, "info")).toBe(8);
    expect(koffi.offsetof(structures.mapperRequest, "dev")).toBe(40);
    expect(koffi.offsetof(structures.signalInformation, "si_pid")).toBe(16);
    expect(koffi.offsetof(structures.interfaceRequest, "ifr_flags")).toBe(16);
    expect(koffi.offsetof(structures.messageHeader, "msg_control")).toBe(32);
    expect(koffi.offsetof(structures.descriptorMessage, "descriptor")).toBe(16);
  });
});
