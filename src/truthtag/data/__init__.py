"""Jets, their files and checks, kinematics and neighbours."""
