import { describe, expect, it } from "vitest";
import { type Annotations, bootFolder, build, host, refusal, topology, vm } from "../testing/sandbox.ts";

const policyKey = `${vm}lcow.securitypolicy`;
const policy = { [policyKey]: btoa("package policy") };
const noHardware = { [`${vm}no_security_hardware`]: "true" };
const files = ["kernel.vmgs", "rootfs.vhd", "other.vmgs", "other.vhd", "kernel", "initrd.img"];
const everyone = "D:P(A;;FA;;;WD)";
const administrators = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";
const tail = "-facb-11e6-bd58-64006a7986d3";

const isolated = (annotations: Annotations = {}, more = {}) =>
  build({ ...policy, ...annotations }, { host: host({ build: 26_100 }, files), ...more });

describe("an isolated VM", () => {
  it("boots from copies in the bundle, which the settings request", () => {
    const { document, settings } = isolated();
    const { Chipset, GuestState, Devices } = document.VirtualMachine;
    expect(Chipset).toEqual({
      Uefi: { ApplySecureBootTemplate: "Apply", SecureBootTemplateId: "1734c6e8-3154-4dda-ba5f-a874cc483422" },
    });
    expect(GuestState).toEqual({
      GuestStateFilePath: "/run/bundle/kernel.vmgs",
      GuestStateFileType: "FileMode",
      ForceTransientState: true,
    });
    expect(JSON.stringify(Devices?.Scsi)).toContain(
      '"0":{"Type":"VirtualDisk","Path":"/run/bundle/rootfs.vhd","ReadOnly":true}',
    );
    expect(settings.confidential?.copies).toEqual([
      { from: `${bootFolder}/kernel.vmgs`, to: "/run/bundle/kernel.vmgs" },
      { from: `${bootFolder}/rootfs.vhd`, to: "/run/bundle/rootfs.vhd" },
    ]);
  });

  it("can have files with other names", () => {
    const names = { [`${vm}lcow.gueststatefile`]: "other.vmgs", [`${vm}lcow.dmverity-rootfs-vhd`]: "other.vhd" };
    const { document, settings } = isolated(names);
    expect(document.VirtualMachine.GuestState?.GuestStateFilePath).toBe("/run/bundle/other.vmgs");
    expect(settings.confidential?.copies).toEqual([
      { from: `${bootFolder}/other.vmgs`, to: "/run/bundle/other.vmgs" },
      { from: `${bootFolder}/other.vhd`, to: "/run/bundle/rootfs.vhd" },
    ]);
  });

  it.each([
    [{ [`${vm}lcow.gueststatefile`]: "none.vmgs" }, `there is no file ${bootFolder}/none.vmgs`],
    [{ [`${vm}lcow.dmverity-rootfs-vhd`]: "none.vhd" }, `there is no file ${bootFolder}/none.vhd`],
    [{ [`${vm}lcow.gueststatefile`]: "ROOTFS.VHD" }, "another name than rootfs.vhd"],
  ])("%j is refused", (annotations, message) => {
    expect(() => isolated(annotations)).toThrow(message);
  });

  it("has its policy's digest as launch data", () => {
    const { document } = isolated({ [`${vm}lcow.hcl-enabled`]: "true" });
    expect(document.SchemaVersion).toEqual({ Major: 2, Minor: 5 });
    expect(document.VirtualMachine.SecuritySettings).toEqual({
      Isolation: {
        IsolationType: "SecureNestedPaging",
        // printf 'package policy' | sha256sum, in base64
        LaunchData: "bt9DkfT5xGPvg6Jg/pzYYsCm5zRVDGY34dTlvlz+bTA=",
        HclEnabled: true,
      },
    });
    expect(isolated().document.VirtualMachine.SecuritySettings?.Isolation).not.toHaveProperty("HclEnabled");
    const off = isolated({ [`${vm}lcow.hcl-enabled`]: "false" });
    expect(off.document.VirtualMachine.SecuritySettings?.Isolation?.HclEnabled).toBe(false);
  });

  it.each(["not base64!", "YQ", "YQ="])("is refused with the policy %j, which is not repeated", (text) => {
    expect(() => isolated({ [policyKey]: text })).toThrow(expect.objectContaining(refusal(policyKey)));
    expect(() => isolated({ [policyKey]: text })).toThrow(`got ${text.length} characters, expected base64`);
  });

  it("has physical memory", () => {
    const { Memory, warnings } = isolated();
    expect([Memory.AllowOvercommit, warnings]).toEqual([undefined, []]);
    expect(isolated({ [`${topology}memory.allowovercommit`]: "true" }).warnings).toEqual([
      `annotation ${topology}memory.allowovercommit has no effect: memory of a confidential VM is physical`,
    ]);
    expect(() => isolated({ [`${topology}memory.enabledeferredcommit`]: "true" })).toThrow(
      "expected false in a confidential VM",
    );
  });

  it("can be reached at the guest's ports, and at requested ones", () => {
    const other = "11111111-2222-3333-4444-555555555555";
    const { Devices } = isolated({
      [`${vm}lcow.extra-vsock-ports`]: "2,109,4294967295",
      [`${vm}hv-socket.service-table.${other}`]: '{"Disabled":true}',
    });
    const service = {
      AllowWildcardBinds: true,
      BindSecurityDescriptor: everyone,
      ConnectSecurityDescriptor: administrators,
    };
    const ports = ["00000001", "0000006d", "40000000", "40000001", "00000002", "ffffffff"];
    expect(Devices?.HvSocket?.HvSocketConfig).toEqual({
      DefaultBindSecurityDescriptor: everyone,
      DefaultConnectSecurityDescriptor: administrators,
      ServiceTable: {
        [other]: { Disabled: true },
        ...Object.fromEntries(ports.map((port) => [`${port}${tail}`, service])),
      },
    });
    const entropy = `${vm}hv-socket.service-table.00000001${tail}`;
    expect(() => isolated({ [entropy]: "{}" })).toThrow(expect.objectContaining(refusal(entropy)));
  });

  it.each([
    { [`${vm}lcow.kerneldirectboot`]: "true" },
    {
      [`${topology}numa.preferred-physical-nodes`]: "0",
      [`${topology}processor.numa.max-processors-per-node`]: "1",
      [`${topology}processor.numa.max-size-per-node`]: "1",
    },
    {
      [`${topology}numa.mapped-physical-nodes`]: "0",
      [`${topology}numa.count-of-processors`]: "2",
      [`${topology}numa.count-of-memory-blocks`]: "1024",
    },
  ])("contradicts %j", (annotations) => {
    expect(() => isolated(annotations)).toThrow(
      "expected nothing: confidential VMs boot from their guest state file, without NUMA",
    );
  });

  it("cannot have devices of the host", () => {
    const specification = { devices: [{ id: "a", idType: "gpu" }] };
    expect(() => isolated({}, { specification })).toThrow("devices: got");
  });

  it.each([
    [`${vm}lcow.preferredrootfstype`, "vhd"],
    [`${vm}lcow.kernelbootoptions`, "debug"],
    [`${vm}lcow.vpcienabled`, "true"],
    [`${vm}lcow.timesync.disable`, "true"],
    [`${vm}lcow.writable-overlay-directories`, "true"],
    [`${vm}lcow.extra-exec-command-args`, "-x"],
    ["io.microsoft.container.processdumplocation", "/dumps"],
    [`${vm}console.pipe`, "\\\\.\\pipe\\console"],
    [`${vm}lcow.dmverity-mode`, "true"],
    [`${vm}lcow.dmverity-create-args`, "x"],
  ])("warns that %s has no effect", (key, value) => {
    const { warnings, document } = isolated({ [key]: value });
    expect(warnings).toEqual([`annotation ${key} has no effect on a confidential VM, whose kernel line is measured`]);
    expect(document).toEqual(isolated().document);
  });

  it("warns which options have no effect", () => {
    expect(isolated({}, { options: { logLevel: "debug", scrubLogs: true } }).warnings).toEqual([
      "option log_level has no effect in a confidential VM, whose kernel line is measured",
      "option scrub_logs has no effect in a confidential VM, whose kernel line is measured",
    ]);
  });

  it("has no persistent memory, even if requested", () => {
    const key = `${vm}devices.virtualpmem.maximumcount`;
    expect(isolated({ [key]: "4" }).warnings).toEqual([expect.stringContaining(key)]);
  });

  it.each([
    [{}, 20_347, "VirtualMachine.SecuritySettings", "version 2.5 of the HCS schema, build 20348"],
    [{ [`${vm}lcow.hcl-enabled`]: "true" }, 20_348, "HclEnabled", "version 2.6 of the HCS schema, build 22000"],
  ])("%j needs a host that supports isolation", (annotations, number, field, origin) => {
    const more = { host: host({ build: number }, files) };
    expect(() => isolated(annotations, more)).toThrow(expect.objectContaining({ code: "FailedPrecondition" }));
    expect(() => isolated(annotations, more)).toThrow(origin);
    expect(() => isolated(annotations, more)).toThrow(number === 20_348 ? field : "VirtualMachine.");
  });
});

describe("a guest with a policy", () => {
  it.each([
    [
      {},
      {
        enforcer: "rego",
        referenceInfoFile: "reference_info.cose",
        hashEnvelopeReferenceInfoFile: "reference_info_hash_envelope.cose",
      },
    ],
    [
      {
        [`${vm}lcow.enforcer`]: "standard",
        [`${vm}lcow.uvm-reference-info-file`]: "a.cose",
        [`${vm}uvm-hash-envelope-reference-info-file`]: "b.cose",
      },
      { enforcer: "standard", referenceInfoFile: "a.cose", hashEnvelopeReferenceInfoFile: "b.cose" },
    ],
  ])("gets its policy and files: %j", (annotations, { enforcer, ...paths }) => {
    const { settings } = isolated(annotations);
    expect(settings.confidential).toMatchObject({
      policy: policy[policyKey],
      enforcer,
      isolated: true,
      referenceInfoFile: `${bootFolder}/${paths.referenceInfoFile}`,
      hashEnvelopeReferenceInfoFile: `${bootFolder}/${paths.hashEnvelopeReferenceInfoFile}`,
    });
    expect(settings.encryptScratch).toBe(true);
  });

  it("can be an ordinary VM without isolation", () => {
    const { document, settings } = isolated(noHardware);
    expect(document).toEqual(build({}, { host: host({ build: 26_100 }, files) }).document);
    expect(settings.confidential).toMatchObject({ policy: policy[policyKey], isolated: false, copies: [] });
    expect(settings.encryptScratch).toBe(true);
    // The guest decodes the policy there, too.
    expect(() => isolated({ ...noHardware, [policyKey]: "text!" })).toThrow(
      expect.objectContaining(refusal(policyKey)),
    );
  });

  it("encrypts the scratch disk unless an annotation disables that", () => {
    expect(isolated({ [`${vm}storage.scratch.encrypted`]: "false" }).settings.encryptScratch).toBe(false);
  });

  it.each([
    [`${vm}lcow.gueststatefile`, "x"],
    [`${vm}lcow.dmverity-rootfs-vhd`, "x"],
    [`${vm}lcow.hcl-enabled`, "true"],
    [`${vm}lcow.extra-vsock-ports`, "1"],
  ])("warns that %s has no effect without isolation", (key, value) => {
    const sentence = `annotation ${key} has no effect on a VM that no hardware isolates`;
    expect(build({ [key]: value }).warnings).toEqual([sentence]);
    expect(isolated({ ...noHardware, [key]: value }).warnings).toEqual([sentence]);
  });
});
