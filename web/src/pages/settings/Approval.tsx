// Who has to say yes, and to what: the limits of runs and of single changes.
import { useOrg } from '../../session';
import { SettingGroups } from './SettingsTable';

export function Approval() {
  return <SettingGroups org={useOrg()} groups={['approval', 'brakes']} />;
}
