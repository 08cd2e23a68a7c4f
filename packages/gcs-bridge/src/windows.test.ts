import { describe, expect, it } from "vitest";
import { FieldError, Fields, type Procedure, procedures } from "./index.ts";

const service = "40000001-facb-11e6-bd58-64006a7986d3";

function read(procedure: Procedure, message: object): unknown {
  return procedures[procedure].readRequest(new Fields(message));
}

describe("requests to a Windows guest", () => {
  it("name the streams of a process by hvsocket services", () => {
    const Settings = { ProcessParameters: "{}", StdioRelaySettings: { StdOut: service } };
    expect(read("executeProcess", { Settings })).toEqual({ Settings: { ...Settings, VsockStdioRelaySettings: {} } });
    const wrong = { ...Settings, StdioRelaySettings: { StdOut: "1073741825" } };
    expect(() => read("executeProcess", { Settings: wrong })).toThrow(FieldError);
    expect(() => read("executeProcess", { Settings: wrong })).toThrow(
      "Settings.StdioRelaySettings.StdOut must be a GUID, got a string",
    );
  });

  it.each(["CtrlC", "CtrlBreak", "CtrlClose", "CtrlLogOff", "CtrlShutdown"])("signal by name: %s", (Signal) => {
    const body = { ProcessId: 1, Options: { Signal } };
    expect(read("signalProcess", body)).toEqual(body);
  });

  it("are refused with the name of a signal that Windows does not have", () => {
    expect(() => read("signalProcess", { ProcessId: 1, Options: { Signal: "SIGTERM" } })).toThrow(
      "Signal must be one of CtrlC, CtrlBreak, CtrlClose, CtrlLogOff, CtrlShutdown, got a string",
    );
  });

  it("terminate a process without options", () => {
    expect(read("signalProcess", { ProcessId: 1 })).toEqual({ ProcessId: 1 });
  });

  it("change a service that is known, with settings or without", () => {
    const body = { PropertyType: "LogForwardService", Settings: { RPCType: "StartLogForwarding" } };
    expect(read("modifyServiceSettings", body)).toEqual(body);
    const { PropertyType } = body;
    expect(read("modifyServiceSettings", { PropertyType })).toEqual({ PropertyType });
    expect(() => read("modifyServiceSettings", { PropertyType: "Other" })).toThrow(
      "PropertyType must be LogForwardService, got a string",
    );
  });

  it("change a container by the path of what changes", () => {
    const Request = { ResourcePath: "Container/Memory/SizeInMB", RequestType: "Update", Settings: 512 };
    expect(read("modifySettings", { Request })).toEqual({ Request });
  });
});

it("capabilities of a Windows guest are read, and what it cannot do is absent", () => {
  const all = {
    SendHostCreateMessage: true,
    SendHostStartMessage: true,
    HvSocketConfigOnStartup: true,
    SendLifecycleNotifications: true,
    ModifyServiceSettingsSupported: true,
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    RuntimeOsType: "",
    GuestDefinedCapabilities: {
      NamespaceAddRequestSupported: true,
      SignalProcessSupported: true,
      DumpStacksSupported: true,
      DeleteContainerStateSupported: true,
      UpdateContainerSupported: true,
      LogForwardingSupported: true,
      HostProcessContainerSupported: true,
    },
  };
  const capabilitiesOf = (told: object): unknown => {
    const { Capabilities } = procedures.negotiateProtocol.readResponse(new Fields({ Version: 4, Capabilities: told }));
    return Capabilities;
  };
  expect(capabilitiesOf(all)).toEqual(all);
  expect(capabilitiesOf({ ...all, RuntimeOsType: undefined })).toEqual(all);
  expect(Object.keys(capabilitiesOf({}) as object)).not.toContain("HvSocketConfigOnStartup");
});
