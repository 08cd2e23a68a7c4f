import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

/** Device rules as the emulated host sets them. */
const basic = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*", "10:200"];
const grants = [...basic.map((numbers) => `c ${numbers} rwm`), "c *:* m", "b *:* m"];
const guid = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
/** A device that every kernel has and no container gets by default; writing to it needs no capability. */
const kernelLog = { major: 1, minor: 11 };

describeWith("root", "crun", "runc", "busybox").each(["crun", "runc"] as const)(
  "devices of containers, with %s",
  (runtime) => {
    let machine: Machine;

    machineForSuite(runtime, (booted) => {
      machine = booted;
      machine.restrictDevices([...grants, `c ${kernelLog.major}:${kernelLog.minor} rw`]);
      machine.assignDevice(guid, kernelLog.major, kernelLog.minor);
    });

    const windows = { devices: [{ id: guid, idType: "vpci-instance-id" }] };
    const use = `cat /dev/vpci/${guid}/device.json; : >>/dev/vpci/${guid}/device && echo open; echo x >/dev/null`;

    it("include the assigned ones that the container names", async () => {
      await machine.modify("Add", "VPCIDevice", { VMBusGUID: guid });
      const { code, stdout, stderr } = await machine.run("named", ["sh", "-c", use], { resources: {} }, { windows });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "declared\nopen\n", stderr: "" });
    });

    it("do not include assigned ones that it does not name", async () => {
      const { stdout } = await machine.run("unnamed", ["sh", "-c", `ls /dev/vpci || echo none`], { resources: {} });
      expect(stdout).toBe("none\n");
    });

    it("are all of the guest's for a privileged container, even if the guest itself is restricted", async () => {
      const annotations = { "io.microsoft.virtualmachine.lcow.privileged": "true" };
      const script = `ls /dev/full; ${use}`;
      const more = { windows, annotations };
      const { stdout } = await machine.run("privileged", ["sh", "-c", script], { resources: {} }, more);
      expect(stdout).toBe("/dev/full\ndeclared\nopen\n");
    });

    it("are named in the error if the guest does not have them", async () => {
      await expect(machine.run("missing", ["true"], { devices: [{ path: "/dev/fuse" }] })).rejects.toMatchObject({
        message: expect.stringContaining("OciSpecification.linux.devices[0].path: device /dev/fuse does not exist"),
      });
      await expect(machine.modify("Add", "VPCIDevice", { VMBusGUID: "7" })).rejects.toMatchObject({
        message: expect.stringContaining("Request.Settings.VMBusGUID must be a GUID"),
      });
      await expect(machine.modify("Remove", "VPCIDevice", { VMBusGUID: guid })).rejects.toMatchObject({
        message: expect.stringContaining("Remove VPCIDevice: expected Add"),
      });
    });
  },
);
