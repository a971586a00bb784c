export { AgreementPage as default } from './Agreements';
