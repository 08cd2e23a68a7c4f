import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import { vsockServiceGuid, windowsGcsHostAddress, windowsHvsocketServices } from "@uvm-shim/hcs-schema";
import { nicInterface } from "@uvm-shim/host-protocol/guest";
import { createNetworkNamespace, type NetworkNamespace } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestMachine, vsmbPath } from "../testing/machine.ts";
import { asked, documentOf, finished, says } from "../testing/programs.ts";
import { compile } from "../wine.ts";

const bootTimeoutMs = 120_000;
const probe = join(dirname(fileURLToPath(import.meta.url)), "..", "testing", "probe.c");
const namespaceId = "11111111-0000-4000-8000-000000000001";
const networkId = "22222222-0000-4000-8000-000000000001";
const nic = (number: number): string => `3333333${number}-0000-4000-8000-000000000001`;

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("a booted Windows guest", () => {
  let machine: TestMachine;
  let outside: NetworkNamespace;
  let root: string;
  let layer: string;
  beforeAll(async () => {
    outside = createNetworkNamespace();
    machine = await TestMachine.boot();
    await machine.connect({ Bias: -120, StandardDate: {}, DaylightDate: {} });
    layer = join(machine.folder, "layer");
    for (const folder of [layer, join(layer, "Files")]) mkdirSync(folder);
    await compile(join(layer, "Files", "probe.exe"), [probe, "-municode"]);
    root = await machine.makeRoot(1, [layer]);
  }, bootTimeoutMs);
  afterAll(async () => {
    await machine?.powerOff();
    outside?.close();
  }, bootTimeoutMs);

  /** Plugs a NIC into the guest, as the host does between its two requests. */
  const plug = (number: number): void => {
    const name = nicInterface(nic(number));
    outside.run(() => {
      for (const command of [
        `link add port${number} type veth peer name end${number}`,
        `addr add 10.${number}.0.1/24 dev port${number}`,
        `link set end${number} netns ${machine.init} name ${name}`,
        `link set port${number} up`,
      ]) {
        execFileSync("ip", command.split(" "));
      }
    });
  };

  it("runs programs of its own, which find shares by their paths", async () => {
    const tools = join(machine.folder, "tools");
    mkdirSync(tools);
    writeFileSync(join(tools, "readme.txt"), "tools");
    machine.share("tools", tools);
    const type = await machine.guest.execute(asked(`cmd /c type ${vsmbPath("tools\\readme.txt")}`));
    expect(await finished(type)).toMatchObject({ code: 0, output: "tools" });
    machine.share("probes", join(layer, "Files"));
    const user = "NT AUTHORITY\\SYSTEM";
    const see = await machine.guest.execute(asked(`${vsmbPath("probes\\probe.exe")} see`, { User: user }));
    const { output } = await finished(see);
    expect(output).toContain("user=SYSTEM");
    expect(output).toContain("computer=WINUVM");
  });

  it("has the time zone of its host", async () => {
    machine.share("zones", join(layer, "Files"));
    const zone = await machine.guest.execute(asked(`${vsmbPath("zones\\probe.exe")} zone`));
    expect((await finished(zone)).output).toBe("bias=-120\r\n");
  });

  it("has Wine's pnputil, which installs nothing", async () => {
    const drivers = await machine.guest.execute(asked("cmd /c pnputil /add-driver C:\\x\\*.inf /subdirs /install"));
    expect((await finished(drivers)).output).toBe("");
  });

  it("connects a container with two adapters, in three steps each", async () => {
    const { guest } = machine;
    const space = { ID: namespaceId, Type: "Guest" } as const;
    await guest.addNetworkNamespace(space);
    for (const number of [1, 2]) {
      const endpoint = {
        ID: nic(number),
        HostComputeNetwork: networkId,
        HostComputeNamespace: namespaceId,
        MacAddress: `00-15-5D-00-00-0${number}`,
        IpConfigurations: [{ IpAddress: `10.${number}.0.2`, PrefixLength: 24 }],
        Routes: number === 1 ? [{ NextHop: "10.1.0.1", DestinationPrefix: "0.0.0.0/0" }] : [],
        Dns: { Domain: "example.test", ServerList: ["10.1.0.1"] },
      };
      await expect(guest.addNetworkInterface(nic(number))).rejects.toMatchObject({ hresultName: "ERROR_NOT_FOUND" });
      await guest.preAddNetworkInterface(nic(number), endpoint);
      plug(number);
      await guest.addNetworkInterface(nic(number));
    }
    const Networking = { Namespace: namespaceId };
    const container = await guest.createContainer("networked", documentOf(root, { Networking }));
    await container.start();
    const { output } = await finished(await container.execute(asked("cmd /c ipconfig /all")));
    expect(output).toContain("10.1.0.2");
    expect(output).toContain("10.2.0.2");
    expect(output.toUpperCase()).toContain("00-15-5D-00-00-01");
    const ping = await finished(await container.execute(asked("cmd /c ping -n 1 10.2.0.1")));
    expect(ping.output).toContain("Reply from 10.2.0.1");
    await container.terminate();
    await container.exited;
    await container.deleteState();
    for (const number of [1, 2]) await guest.removeNetworkInterface(nic(number));
    await guest.removeNetworkNamespace(space);
  });

  it("runs host process containers on its own drive C:, with their files in a folder", async () => {
    const IsolationType = "HostProcess";
    const container = await machine.guest.createContainer("hosted", documentOf(root, { IsolationType }));
    await container.start();
    const type = await container.execute(asked("cmd /c C:\\hpc\\probe.exe see & dir C:\\EFI"));
    const { code, output } = await finished(type);
    expect(code).toBe(0);
    expect(output).toContain("user=SYSTEM");
    expect(output).toContain("uvm-shim");
    await container.terminate();
    await container.exited;
    await container.deleteState();
  });

  it("forwards its log once it is asked to, and no more when it is asked not to", async () => {
    const { guest } = machine;
    const providerName = "microsoft.windows.hyperv.compute";
    const sources = { LogConfig: { sources: [{ type: "ETW", providers: [{ providerName, level: "Information" }] }] } };
    const connection = machine.accept(windowsHvsocketServices.log);
    await guest.startLogForwarding(Buffer.from(JSON.stringify(sources)).toString("base64"));
    const log = await connection;
    const container = await guest.createContainer("logged", documentOf(root));
    const line = (await says(log, /\n/)).split("\n")[0] ?? "";
    expect(JSON.parse(line)).toMatchObject({
      Source: "ETW",
      level: "info",
      message: "container created",
      container: "logged",
    });
    await guest.stopLogForwarding();
    await ended(log);
    await container.deleteState();
  });

  it("takes its address, and tells stacks", async () => {
    const address = { LocalAddress: networkId, ParentAddress: windowsGcsHostAddress };
    await machine.guest.updateHvSocketAddress(address);
    expect(await machine.guest.dumpStacks()).toContain("agent:");
  });
});

describeWith(
  "Linux on x64",
  "root",
  "ip",
  "mkfs.ext4",
  "x86_64-w64-mingw32-gcc",
  "Wine",
)("a Windows guest that is asked what it does not do", () => {
  let machine: TestMachine;
  beforeAll(async () => {
    machine = await TestMachine.boot();
  }, bootTimeoutMs);
  afterAll(async () => {
    await machine?.powerOff();
  }, bootTimeoutMs);

  it("refuses what comes in a wrong order, and what it does not know", async () => {
    const client = await machine.connectPlainly();
    const refusal = (hresultName: string) => ({ hresultName });
    const zone = { StandardDate: {}, DaylightDate: {} };
    const config = JSON.stringify({ SystemType: "Container", TimeZoneInformation: zone });
    const create = (id: string, ContainerConfig: string) => client.request("create", id, { ContainerConfig });
    await expect(create(uvmContainerId, config)).rejects.toMatchObject(refusal("HCS_E_UNSUPPORTED_PROTOCOL_VERSION"));
    const capabilities = await client.negotiate();
    expect(capabilities.GuestDefinedCapabilities).toMatchObject({ LogForwardingSupported: true });
    const document = JSON.stringify(documentOf("C:\\mounts\\scsi\\0_1_0"));
    await expect(create("early", document)).rejects.toMatchObject(refusal("HCS_E_INVALID_STATE"));
    await expect(client.request("start", uvmContainerId, {})).rejects.toMatchObject(refusal("HCS_E_INVALID_STATE"));
    const wrong = JSON.stringify({ SystemType: "Container", TimeZoneInformation: zone, More: 1 });
    await expect(create(uvmContainerId, wrong)).rejects.toMatchObject(refusal("HCS_E_INVALID_JSON"));
    await create(uvmContainerId, config);
    await expect(create(uvmContainerId, config)).rejects.toMatchObject(refusal("HCS_E_SYSTEM_ALREADY_EXISTS"));
    await client.request("start", uvmContainerId, {});
    await expect(create("absent", document)).rejects.toMatchObject(refusal("ERROR_PATH_NOT_FOUND"));
    await expect(create("odd", '{"Container":{"Odd":1}}')).rejects.toMatchObject(refusal("HCS_E_INVALID_JSON"));
    await expect(client.request("start", "unknown", {})).rejects.toMatchObject(refusal("HCS_E_SYSTEM_NOT_FOUND"));
    const modify = (ResourceType: string, Settings: object) =>
      client.request("modifySettings", uvmContainerId, { Request: { RequestType: "Add", ResourceType, Settings } });
    const disk = { ContainerPath: "C:\\mounts\\scsi\\0_1_0", Lun: 1 };
    await expect(modify("MappedVirtualDisk", { ...disk, Controller: 0 })).rejects.toMatchObject(
      refusal("HCS_E_INVALID_JSON"),
    );
    await expect(modify("MappedVirtualDisk", disk)).rejects.toMatchObject(refusal("ERROR_FILE_NOT_FOUND"));
    const layers = { ContainerRootPath: disk.ContainerPath, Layers: [] };
    await expect(modify("CombinedLayers", layers)).rejects.toMatchObject(refusal("ERROR_PATH_NOT_FOUND"));
    await expect(modify("CombinedLayers", { ...layers, FilterType: "UnionFS" })).rejects.toMatchObject(
      refusal("HCS_E_INVALID_JSON"),
    );
    await expect(modify("SecurityPolicy", {})).rejects.toMatchObject(refusal("ERROR_NOT_SUPPORTED"));
    const execute = (VsockStdioRelaySettings: object, parameters: object) =>
      client.request("executeProcess", uvmContainerId, {
        Settings: { ProcessParameters: JSON.stringify(parameters), VsockStdioRelaySettings },
      });
    const cmd = { CommandLine: "cmd /c exit 3" };
    await expect(execute({ StdOut: 7 }, cmd)).rejects.toMatchObject(refusal("HCS_E_INVALID_JSON"));
    await expect(execute({}, { ...cmd, Odd: true })).rejects.toMatchObject(refusal("HCS_E_INVALID_JSON"));
    await expect(execute({}, { ...cmd, CreateStdOutPipe: true })).rejects.toMatchObject(refusal("E_INVALIDARG"));
    await expect(client.request("getProperties", uvmContainerId, { Query: "" })).rejects.toMatchObject(
      refusal("ERROR_NOT_SUPPORTED"),
    );
    await expect(
      client.request("waitForProcess", uvmContainerId, { ProcessId: 7, TimeoutInMs: 0 }),
    ).rejects.toMatchObject(refusal("ERROR_NOT_FOUND"));
  });

  it("answers an event only when the program has ended", async () => {
    const { client } = machine;
    const service = vsockServiceGuid(0x40000001);
    const output = machine.accept(service);
    const parameters = { CommandLine: "cmd /c echo ready& ping -n 60 127.0.0.1 >NUL", CreateStdOutPipe: true };
    const { ProcessId } = await client.request("executeProcess", uvmContainerId, {
      Settings: { ProcessParameters: JSON.stringify(parameters), StdioRelaySettings: { StdOut: service } },
    });
    const stdout = await output;
    await says(stdout, /ready/);
    const order: string[] = [];
    const exit = client
      .request("waitForProcess", uvmContainerId, { ProcessId, TimeoutInMs: infiniteTimeout })
      .then(({ ExitCode }) => {
        order.push("exit");
        return ExitCode;
      });
    const Signal = "CtrlC";
    await client.request("signalProcess", uvmContainerId, { ProcessId, Options: { Signal } });
    order.push("answer");
    expect(await exit).toBe(0xc000013a);
    expect(order).toEqual(["exit", "answer"]);
    stdout.destroy();
    await expect(
      client.request("signalProcess", uvmContainerId, { ProcessId, Options: { Signal } }),
    ).rejects.toMatchObject({ hresultName: "HCS_E_PROCESS_ALREADY_STOPPED" });
  });

  it("ends when it is shut down", async () => {
    await machine.client.request("shutdownGraceful", uvmContainerId, {});
    expect(await machine.off).toBe(0);
  });
});

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("end", () => resolve()).resume();
    if (socket.readableEnded) resolve();
  });
}
