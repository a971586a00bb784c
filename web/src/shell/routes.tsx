// Every page within an organization: its path, its name in the navigation, and the code that is loaded with it.
import type { Icon } from '@tabler/icons-react';
import {
  IconAlertTriangle,
  IconArrowsLeftRight,
  IconBell,
  IconChecks,
  IconClipboardList,
  IconFileInvoice,
  IconFileUpload,
  IconGauge,
  IconHistory,
  IconPlayerPlay,
  IconScale,
  IconHome,
  IconListCheck,
  IconPlugConnected,
  IconSettings,
  IconSitemap,
} from '@tabler/icons-react';
import { lazy, type ComponentType } from 'react';
import type { Key } from '../i18n';
import { ApprovalsWaiting } from './ApprovalsWaiting';

export interface Place {
  /** Below `/o/:org`; empty for the overview. */
  path: string;
  /** Its place in the navigation; none for pages that others lead to. */
  nav?: { label: Key; icon: Icon; group: 'work' | 'manage'; badge?: ComponentType };
  /** The right without which it is not shown. */
  right?: string;
  page: ComponentType;
}

const Overview = lazy(() => import('../pages/Overview'));
const Tasks = lazy(() => import('../pages/Tasks'));
const Task = lazy(() => import('../pages/Task'));
const Sync = lazy(() => import('../pages/Sync'));
const Runs = lazy(() => import('../pages/Runs'));
const Run = lazy(() => import('../pages/Run'));
const Reconcile = lazy(() => import('../pages/Reconcile'));
const Plans = lazy(() => import('../pages/Plans'));
const Plan = lazy(() => import('../pages/Plan'));
const Approvals = lazy(() => import('../pages/Approvals'));
const Approval = lazy(() => import('../pages/Approval'));
const Jobs = lazy(() => import('../pages/Jobs'));
const NewJob = lazy(() => import('../pages/NewJob'));
const Job = lazy(() => import('../pages/Job'));
const Agreements = lazy(() => import('../pages/Agreements'));
const Agreement = lazy(() => import('../pages/Agreement'));
const Addition = lazy(() => import('../pages/Addition'));
const Mapping = lazy(() => import('../pages/Mapping'));
const Quantities = lazy(() => import('../pages/Quantities'));
const Alerts = lazy(() => import('../pages/Alerts'));
const Alert = lazy(() => import('../pages/Alert'));
const Exceptions = lazy(() => import('../pages/Exceptions'));
const Audit = lazy(() => import('../pages/Audit'));
const Connections = lazy(() => import('../pages/Connections'));
const Connect = lazy(() => import('../pages/Connect'));
const Organizations = lazy(() => import('../pages/Organizations'));
const Settings = lazy(() => import('../pages/Settings'));

export const PLACES: Place[] = [
  { path: '', nav: { label: 'nav.overview', icon: IconHome, group: 'work' }, page: Overview },
  { path: 'tasks', nav: { label: 'nav.tasks', icon: IconListCheck, group: 'work' }, right: 'tasks.read', page: Tasks },
  { path: 'tasks/:task', right: 'tasks.read', page: Task },
  { path: 'tasks/:task/sync', right: 'plans.write', page: Sync },
  {
    path: 'jobs',
    nav: { label: 'nav.jobs', icon: IconFileUpload, group: 'work' },
    right: 'runs.read',
    page: Jobs,
  },
  { path: 'jobs/new', right: 'plans.write', page: NewJob },
  { path: 'jobs/:job', right: 'runs.read', page: Job },
  {
    path: 'plans',
    nav: { label: 'nav.plans', icon: IconClipboardList, group: 'work' },
    right: 'plans.read',
    page: Plans,
  },
  { path: 'plans/:plan', right: 'plans.read', page: Plan },
  {
    path: 'approvals',
    nav: { label: 'nav.approvals', icon: IconChecks, group: 'work', badge: ApprovalsWaiting },
    right: 'plans.read',
    page: Approvals,
  },
  { path: 'approvals/:approval', right: 'plans.read', page: Approval },
  {
    path: 'exceptions',
    nav: { label: 'nav.exceptions', icon: IconAlertTriangle, group: 'work' },
    right: 'findings.read',
    page: Exceptions,
  },
  {
    path: 'alerts',
    nav: { label: 'nav.alerts', icon: IconBell, group: 'work' },
    right: 'findings.read',
    page: Alerts,
  },
  { path: 'alerts/:alert', right: 'findings.read', page: Alert },
  {
    path: 'mapping',
    nav: { label: 'nav.mapping', icon: IconArrowsLeftRight, group: 'work' },
    right: 'mappings.read',
    page: Mapping,
  },
  {
    path: 'quantities',
    nav: { label: 'nav.quantities', icon: IconGauge, group: 'work' },
    right: 'mappings.read',
    page: Quantities,
  },
  {
    path: 'agreements',
    nav: { label: 'nav.agreements', icon: IconFileInvoice, group: 'work' },
    right: 'mappings.read',
    page: Agreements,
  },
  {
    path: 'reconcile',
    nav: { label: 'nav.reconcile', icon: IconScale, group: 'work' },
    right: 'plans.write',
    page: Reconcile,
  },
  { path: 'reconcile/:plan', right: 'plans.read', page: Reconcile },
  {
    path: 'runs',
    nav: { label: 'nav.runs', icon: IconPlayerPlay, group: 'work' },
    right: 'runs.read',
    page: Runs,
  },
  { path: 'runs/:run', right: 'runs.read', page: Run },
  { path: 'agreements/:agreement', right: 'mappings.read', page: Agreement },
  { path: 'additions/:addition', right: 'audit.read', page: Addition },
  {
    path: 'connections',
    nav: { label: 'nav.connections', icon: IconPlugConnected, group: 'manage' },
    right: 'connections.read',
    page: Connections,
  },
  { path: 'connections/new', right: 'connections.write', page: Connect },
  {
    path: 'organizations',
    nav: { label: 'nav.organizations', icon: IconSitemap, group: 'manage' },
    right: 'organizations.read',
    page: Organizations,
  },
  {
    path: 'settings',
    nav: { label: 'nav.settings', icon: IconSettings, group: 'manage' },
    right: 'settings.read',
    page: Settings,
  },
  {
    path: 'audit',
    nav: { label: 'nav.audit', icon: IconHistory, group: 'manage' },
    right: 'audit.read',
    page: Audit,
  },
];
