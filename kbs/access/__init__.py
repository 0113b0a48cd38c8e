"""Who people are: enrolment by code, login by proof of possession, certificates that live a day."""
