/** What a Windows guest is told about its VM when it starts. */
import { answerObject, type Check, closedObject, type FieldChecks, integer, oneOf, optional, text } from "../check.ts";

/** A time of the year; all fields are absent in a zone without daylight saving time. */
export interface SystemTime {
  readonly Year?: number;
  readonly Month?: number;
  readonly DayOfWeek?: number;
  readonly Day?: number;
  readonly Hour?: number;
  readonly Minute?: number;
  readonly Second?: number;
  readonly Milliseconds?: number;
}

/** As Windows' GetTimeZoneInformation; biases are minutes that are added to local time to get UTC. */
export interface TimeZoneInformation {
  readonly Bias?: number;
  readonly StandardName?: string;
  readonly StandardDate: SystemTime;
  readonly StandardBias?: number;
  readonly DaylightName?: string;
  readonly DaylightDate: SystemTime;
  readonly DaylightBias?: number;
}

/** The zone of a VM that does not follow its host. */
export const utcTimeZone: TimeZoneInformation = {
  StandardName: "Coordinated Universal Time",
  StandardDate: {},
  DaylightName: "Coordinated Universal Time",
  DaylightDate: {},
};

/** Configuration of the create message for the VM itself, a JSON string on the wire. */
export interface WindowsUvmConfig {
  readonly SystemType: "Container";
  readonly TimeZoneInformation: TimeZoneInformation;
}

const most = 0xffff;
const systemTimeFields: FieldChecks<SystemTime> = {
  Year: optional(integer(0, most)),
  Month: optional(integer(0, 12)),
  DayOfWeek: optional(integer(0, 6)),
  Day: optional(integer(0, 31)),
  Hour: optional(integer(0, 23)),
  Minute: optional(integer(0, 59)),
  Second: optional(integer(0, 59)),
  Milliseconds: optional(integer(0, 999)),
};
const minutes = optional(integer(-1440, 1440));

const timeZoneFields = (date: Check<SystemTime>): FieldChecks<TimeZoneInformation> => ({
  Bias: minutes,
  StandardName: optional(text),
  StandardDate: date,
  StandardBias: minutes,
  DaylightName: optional(text),
  DaylightDate: date,
  DaylightBias: minutes,
});

const checkTimeZoneInformation = closedObject<TimeZoneInformation>(
  timeZoneFields(closedObject<SystemTime>(systemTimeFields)),
);

/** The zone that a host answers. */
export const checkHostTimeZone = answerObject<TimeZoneInformation>(
  timeZoneFields(answerObject<SystemTime>(systemTimeFields)),
);

/** What a Windows guest is told of its VM before the first container: that it hosts containers, and the time zone. */
export const checkWindowsUvmConfig: Check<WindowsUvmConfig> = closedObject<WindowsUvmConfig>({
  SystemType: oneOf("Container"),
  TimeZoneInformation: checkTimeZoneInformation,
});

/** Settings of the service that forwards a Windows guest's logs to the host. */
export interface LogForwardSettings {
  readonly RPCType: "ModifyServiceSettings" | "StartLogForwarding" | "StopLogForwarding";
  /** Base64 of the sources; with ModifyServiceSettings only. */
  readonly Settings?: string;
}

/** Settings of the log forwarding service as a Windows guest reads them. */
export const checkLogForwardSettings: Check<LogForwardSettings> = closedObject<LogForwardSettings>({
  RPCType: oneOf("ModifyServiceSettings", "StartLogForwarding", "StopLogForwarding"),
  Settings: optional(text),
});

/** A change of a container in a Windows guest. */
export type WindowsContainerChange =
  | { readonly ResourcePath: "Container/Memory/SizeInMB"; readonly RequestType: "Update"; readonly Settings: number }
  | {
      readonly ResourcePath: "Container/Processor";
      readonly RequestType: "Update";
      readonly Settings: { readonly Count?: number; readonly Maximum?: number; readonly Weight?: number };
    }
  | {
      readonly ResourcePath: "Container/MappedDirectories";
      readonly RequestType: "Add";
      readonly Settings: { readonly HostPath: string; readonly ContainerPath: string; readonly ReadOnly?: boolean };
    };
